"""Periodic threads."""

import os
import threading
import time

import pytest

from metabonk.system import periodic_thread
from metabonk.system.periodic_thread import PeriodicThread
from tests.support.waiting import until


def test_the_function_is_called_immediately_and_then_periodically_until_close():
    called_three_times, calls = threading.Event(), []

    def tick() -> None:
        calls.append(threading.current_thread().name)
        if len(calls) == 3:
            called_three_times.set()

    thread = PeriodicThread(tick, 0.01, name="ticker")
    thread.start()
    assert called_three_times.wait(20)
    thread.close(timeout_s=20.0)
    count = len(calls)
    time.sleep(0.05)
    assert len(calls) == count and set(calls) == {"ticker"}


def test_close_does_not_wait_for_the_interval_and_needs_no_start():
    thread = PeriodicThread(lambda: None, 3600.0, name="ticker")
    thread.close()
    thread = PeriodicThread(lambda: None, 3600.0, name="ticker")
    thread.start()
    began = time.monotonic()
    thread.close(timeout_s=20.0)
    assert time.monotonic() - began < 20.0


def test_a_background_thread_has_the_lowest_priority():
    niceness, done = [], threading.Event()

    def tick() -> None:
        niceness.append(os.nice(0))
        done.set()

    thread = PeriodicThread(tick, 3600.0, name="ticker", background=True)
    thread.start()
    assert done.wait(20)
    thread.close()
    assert niceness == [19] and os.nice(0) < 19


def test_an_exception_ends_the_thread_and_reaches_the_excepthook(monkeypatch: pytest.MonkeyPatch):
    errors, done = [], threading.Event()

    def hook(arguments: threading.ExceptHookArgs) -> None:
        errors.append(arguments.exc_value)
        done.set()

    def tick() -> None:
        raise OSError("disk full")

    monkeypatch.setattr(threading, "excepthook", hook)
    thread = PeriodicThread(tick, 0.01, name="ticker")
    thread.start()
    assert done.wait(20)
    thread.close()
    assert [str(error) for error in errors] == ["disk full"]


@pytest.mark.parametrize("failing", [False, True])
def test_the_cleanup_runs_on_the_thread_itself(failing: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    ended, ends = threading.Event(), []

    def tick() -> None:
        if failing:
            raise OSError("disk full")

    def clean_up() -> None:
        ends.append(threading.current_thread().name)
        ended.set()

    thread = PeriodicThread(tick, 3600.0, name="ticker", at_end=clean_up)
    thread.start()
    thread.close()
    assert ended.wait(20)
    assert ends == ["ticker"]


def test_a_thread_that_an_error_has_ended_is_revived_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    monkeypatch.setattr(periodic_thread, "REVIVE_AFTER_S", 3600.0)
    calls = []

    def tick() -> None:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise ValueError("a mistake")

    thread = PeriodicThread(tick, 0.01, name="ticker")
    thread.start()
    assert not thread.revive(), "it lives, or has only just died"
    until("an error has ended it", lambda: not thread._thread.is_alive())
    assert not thread.revive(), "it has only just died"
    monkeypatch.setattr(periodic_thread, "REVIVE_AFTER_S", 0.1)
    until("it is revived", thread.revive)
    until("it ticks again", lambda: len(calls) > 2)
    assert calls[1] - calls[0] >= 0.1
    assert not thread.revive()
    thread.close()
    assert not thread.revive(), "closed for good"
