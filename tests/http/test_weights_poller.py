"""Long polling of a learner's weights, from a learner's real routes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from metabonk.errors import PolicyError, WireError
from metabonk.http import weights_poller
from metabonk.http.app import make_http_app
from metabonk.http.weights import WeightsStore, weights_routes
from metabonk.http.weights_poller import WeightsPoller
from tests.support.serving import free_port, served
from tests.support.waiting import until

CLOSE_S = 10.0
"""Longer than a machine under load takes, and shorter than a request that nobody cancels."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_poller, "WAIT_S", 60.0)
    monkeypatch.setattr(weights_poller, "INTERVAL_S", 0.2)


@contextmanager
def learner(port: int) -> Iterator[WeightsStore]:
    """Serve weights by the learner's route."""
    store = WeightsStore()
    app = make_http_app("learner")
    app.include_router(weights_routes(store))
    with served(app, port):
        try:
            yield store
        finally:
            store.close()


class Worker:
    """A poller, and what came of its requests.

    Attributes:
        weights: passed on, oldest first.
        answered_at: when the learner answered, seconds.
        failures: of requests that it did not answer.
    """

    def __init__(self, port: int, on_weights: Callable[[bytes], None] = lambda weights: None):
        self.weights: list[bytes] = []
        self.answered_at: list[float] = []
        self.failures: list[httpx.HTTPError] = []
        self._on_weights = on_weights
        self.poller = WeightsPoller(
            f"http://127.0.0.1:{port}",
            self._take,
            on_answer=lambda: self.answered_at.append(time.monotonic()),
            on_failure=self.failures.append,
        )

    def _take(self, weights: bytes) -> None:
        self.weights.append(weights)
        self._on_weights(weights)


@contextmanager
def polling(
    port: int, on_weights: Callable[[bytes], None] = lambda weights: None
) -> Iterator[Worker]:
    worker = Worker(port, on_weights)
    worker.poller.start()
    try:
        yield worker
    finally:
        worker.poller.close(CLOSE_S)


def test_every_version_arrives_once_with_one_request_each():
    port = free_port()
    with learner(port) as store, polling(port) as worker:
        for version in range(5):
            until("it waits", lambda: store.waiting == 1)
            store.publish(version, b"%d" % version)
            until("they arrive", lambda version=version: len(worker.weights) > version)
        until("it waits again", lambda: store.waiting == 1)
        assert worker.weights == [b"0", b"1", b"2", b"3", b"4"]
        assert len(worker.answered_at) == 5


def test_closing_cancels_the_request_that_the_learner_holds():
    port = free_port()
    with learner(port) as store, polling(port) as worker:
        until("it waits", lambda: store.waiting == 1)
        worker.poller.close(CLOSE_S)
        assert _weights_threads() == []


def test_closing_before_or_right_after_the_start_ends_the_thread():
    poller = Worker(free_port()).poller
    poller.close(CLOSE_S)
    poller.start()
    poller.close(CLOSE_S)
    poller = Worker(free_port()).poller
    poller.start()
    poller.close(CLOSE_S)
    assert _weights_threads() == []


def test_the_weights_of_a_restarted_learner_arrive_though_their_version_is_the_same():
    port = free_port()
    with polling(port) as worker:
        for weights in (b"before", b"after"):
            with learner(port) as store:
                store.publish(4, weights)
                until("they arrive", lambda weights=weights: weights in worker.weights)
        assert worker.weights == [b"before", b"after"]
        until("the end is noticed", lambda: worker.failures)


@pytest.mark.parametrize("error", [WireError, PolicyError])
def test_weights_that_cannot_be_used_are_logged_and_passed_over(
    error: type[WireError] | type[PolicyError], caplog: pytest.LogCaptureFixture
):
    def load(weights: bytes) -> None:
        if weights == b"first":
            raise error("these are spoilt")

    port = free_port()
    with learner(port) as store, polling(port, load) as worker:
        store.publish(1, b"first")
        until("the first", lambda: worker.weights)
        store.publish(2, b"second")
        until("newer ones", lambda: len(worker.weights) == 2)
    assert "passed over: these are spoilt" in caplog.text


def test_a_learner_that_holds_no_request_is_asked_at_intervals():
    port = free_port()
    with learner(port) as store, polling(port) as worker:
        until("it waits", lambda: store.waiting == 1)
        store.close()
        until("it is asked again and again", lambda: len(worker.answered_at) > 8)
    # The first answer ends the wait. An answer may be late by as much as is missing of 1.4 s.
    assert worker.answered_at[8] - worker.answered_at[1] >= 0.4


def test_an_error_that_ends_the_thread_is_reported(monkeypatch: pytest.MonkeyPatch):
    died: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", died.append)

    def load(weights: bytes) -> None:
        raise ZeroDivisionError

    port = free_port()
    with learner(port) as store, polling(port, load):
        store.publish(1, b"first")
        until("it dies", lambda: died)
    assert died[0].exc_type is ZeroDivisionError
    assert died[0].thread is not None
    assert died[0].thread.name == "weights"


def _weights_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "weights"]
