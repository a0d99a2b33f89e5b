"""Calls into the encoder that do not return."""

import threading
import time
from collections.abc import Iterator

import pytest

from metabonk.worker.encode_watchdog import EncodeWatchdog
from tests.support.waiting import GENEROUS_S, until

TIMEOUT_S = 0.1


class Watched:
    """A watchdog, and how often it noticed a hang."""

    def __init__(self) -> None:
        self.hangs = 0
        self.watchdog = EncodeWatchdog(self._count, TIMEOUT_S)

    def _count(self) -> None:
        self.hangs += 1


@pytest.fixture
def watched() -> Iterator[Watched]:
    made = Watched()
    made.watchdog.start()
    yield made
    made.watchdog.close()


def test_calls_that_return_in_time_are_no_hangs(watched: Watched):
    took: list[float] = []
    for _ in range(5):
        began = time.monotonic()
        with watched.watchdog.watching():
            threading.Event().wait(TIMEOUT_S / 3)
        took.append(time.monotonic() - began)
    threading.Event().wait(2 * TIMEOUT_S)
    late = sum(each >= TIMEOUT_S for each in took)
    assert watched.hangs <= late, "nor is the time without a call"


def test_a_call_that_hangs_is_noticed_once(watched: Watched):
    with watched.watchdog.watching():
        until("it is noticed", lambda: watched.hangs)
        threading.Event().wait(3 * TIMEOUT_S)
    assert watched.hangs == 1


def test_a_call_that_hung_and_returns_does_not_end_the_watch_over_the_next_one(watched: Watched):
    returns = threading.Event()

    def hang() -> None:
        with watched.watchdog.watching():
            assert returns.wait(2 * GENEROUS_S)

    hanging = threading.Thread(target=hang)
    hanging.start()
    until("it is noticed", lambda: watched.hangs == 1)
    with watched.watchdog.watching():
        returns.set()
        hanging.join()
        until("the next one is noticed too", lambda: watched.hangs == 2)
