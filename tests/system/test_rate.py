"""Rates over a sliding window."""

import sys
import threading

import pytest

from metabonk.system.rate import WINDOW_S, Rate
from tests.support.clock import Clock


def test_a_rate_covers_the_window():
    clock = Clock(50.0)
    rate = Rate(clock)
    for _ in range(300):
        clock.now += 1 / 30
        rate.count()
    assert rate.per_second() == pytest.approx(30, abs=1.1)
    assert rate.total == 300


def test_a_new_rate_covers_the_time_since_its_start():
    clock = Clock(50.0)
    rate = Rate(clock)
    for _ in range(15):
        clock.now += 1 / 30
        rate.count(2)
    assert rate.per_second() == pytest.approx(60, abs=0.1)


def test_amounts_older_than_the_window_are_forgotten():
    clock = Clock(50.0)
    rate = Rate(clock)
    rate.count(100)
    clock.now += WINDOW_S / 2
    assert rate.per_second() > 0
    clock.now += WINDOW_S
    assert rate.per_second() == 0


def test_a_restart_clears_the_window_and_keeps_the_total():
    clock = Clock(50.0)
    rate = Rate(clock)
    rate.count(100)
    clock.now += 1
    rate.restart()
    assert (rate.per_second(), rate.total) == (0, 100)


def test_memory_is_bounded_however_much_is_counted():
    clock = Clock(50.0)
    rate = Rate(clock)
    for _ in range(10_000):
        clock.now += 0.001
        rate.count()
    assert len(rate._buckets) <= WINDOW_S / 0.1 + 1


def test_one_thread_may_count_while_another_reads():
    clock = Clock(50.0)
    rate = Rate(clock)
    total = 20_000

    def count() -> None:
        for _ in range(total):
            clock.now += 0.05
            rate.count()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        counter = threading.Thread(target=count)
        counter.start()
        while counter.is_alive():
            assert rate.per_second() >= 0
        counter.join()
    finally:
        sys.setswitchinterval(interval)
    assert rate.total == total
