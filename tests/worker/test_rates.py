"""Rates are counted."""

import pytest

from metabonk.worker.rates import WINDOW_S, Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_steady_rate_is_found():
    clock = Clock()
    rate = Rate(clock)
    for _ in range(300):
        clock.now += 1 / 30
        rate.count()
    assert rate.per_second() == pytest.approx(30, rel=0.05)
    assert rate.total == 300


def test_a_young_rate_counts_over_its_age():
    clock = Clock()
    rate = Rate(clock)
    for _ in range(30):
        clock.now += 1 / 30
        rate.count()
    assert rate.per_second() == pytest.approx(30, rel=0.1)


def test_a_rate_that_stopped_falls_to_zero_and_keeps_its_total():
    clock = Clock()
    rate = Rate(clock)
    rate.count(50)
    clock.now += WINDOW_S + 1
    assert rate.per_second() == 0
    assert rate.total == 50


def test_a_restart_begins_a_new_window():
    clock = Clock()
    rate = Rate(clock)
    rate.count(1000)
    rate.restart()
    for _ in range(20):
        clock.now += 0.1
        rate.count()
    assert rate.per_second() == pytest.approx(10, rel=0.1)
