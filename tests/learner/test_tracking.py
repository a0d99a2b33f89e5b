"""Delivery to trackers that work, fail and hang."""

import logging
import threading
from collections.abc import Callable

import pytest

from metabonk.learner.tracking import Point, Tracker, TrackerThread
from tests.support.waiting import until


class Recorder:
    """Tracker that keeps what it gets, after as many failures as asked for."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.points: list[Point] = []
        self.closed = False

    def log(self, point: Point) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route to host")
        self.points.append(point)

    def close(self) -> None:
        self.closed = True


def thread(connect: Callable[[], Tracker], retry_s: float = 0.001) -> TrackerThread:
    return TrackerThread("Recorder", connect, retry_s=retry_s, close_s=10)


def test_points_arrive_in_order_and_the_run_is_finished():
    recorder = Recorder()
    delivery = thread(lambda: recorder)
    delivery.add({"episode/return": 1.0, "episode/length": None}, 100)
    delivery.add({"episode/return": 2.0}, 200)
    delivery.close()
    assert [(point.scalars, point.step) for point in recorder.points] == [
        ({"episode/return": 1.0}, 100),
        ({"episode/return": 2.0}, 200),
    ]
    assert recorder.closed


def test_points_are_kept_while_the_tracker_fails(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    recorder, connected = Recorder(failures=3), []

    def connect() -> Recorder:
        connected.append(True)
        if len(connected) == 1:
            raise ImportError("its library is broken")
        return recorder

    delivery = thread(connect)
    for step in (1, 2):
        delivery.add({"a": 1.0}, step)
    until("both points arrive", lambda: len(recorder.points) == 2)
    delivery.close()
    assert [point.step for point in recorder.points] == [1, 2]
    assert len(connected) == 5
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO"], caplog.text
    assert "training continues: its library is broken" in caplog.text


def test_a_tracker_that_hangs_delays_nothing_and_is_given_up(caplog: pytest.LogCaptureFixture):
    entered, released = threading.Event(), threading.Event()

    def connect() -> Recorder:
        entered.set()
        assert released.wait(30)
        return Recorder()

    delivery = TrackerThread("Recorder", connect, capacity=2, close_s=0.01)
    delivery.add({"a": 1.0}, 0)
    assert entered.wait(30)
    for step in range(100):
        delivery.add({"a": 1.0}, step)
    delivery.close()
    released.set()
    delivery._thread.join()
    assert caplog.text.count("its curves have a gap") == 1
    assert "Recorder does not answer: its last points are lost" in caplog.text


def test_a_tracker_that_fails_at_the_end_is_a_warning(caplog: pytest.LogCaptureFixture):
    delivery = thread(lambda: Recorder(failures=1), retry_s=3600)
    delivery.add({"a": 1.0}, 0)
    until("it fails", lambda: "no route to host" in caplog.text)
    delivery.close()
    assert "does not answer" not in caplog.text
