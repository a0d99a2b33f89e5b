"""The line to the learner, with a server in place of the learner."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from metabonk.worker import learner_client as uplink_module
from metabonk.worker.learner_client import QUEUED_ROLLOUTS, LearnerClient
from tests.support.fleet import free_ports
from tests.support.waiting import until


class Learner(ThreadingHTTPServer):
    """Takes rollouts while the gate is open, says it is busy while it is not, serves weights."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.taken: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.weights = b"first"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Learner

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.gate.is_set():
            self.server.taken.append(body)
            self.send_response(204)
        else:
            self.send_response(503)
            self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        tag = f'"{self.server.weights.decode()}"'
        if self.headers.get("If-None-Match") == tag:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(self.server.weights)))
        self.end_headers()
        self.wfile.write(self.server.weights)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink_module, "POLL_S", 0.02)
    monkeypatch.setattr(uplink_module, "RETRY_S", 0.02)


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def learner(port: int) -> Iterator[Learner]:
    learner = Learner(port)
    yield learner
    learner.stop()


@pytest.fixture
def uplink(port: int) -> Iterator[LearnerClient]:
    uplink = LearnerClient(f"http://127.0.0.1:{port}", games=2)
    yield uplink
    uplink.close()


def test_rollouts_arrive_in_their_order(uplink: LearnerClient, learner: Learner):
    uplink.start()
    for number in range(5):
        uplink.submit(b"%d" % number)
    until("all arrived", lambda: len(learner.taken) == 5)
    assert learner.taken == [b"0", b"1", b"2", b"3", b"4"]


def test_weights_come_once_each(uplink: LearnerClient, learner: Learner):
    uplink.start()
    assert uplink.wait_for_weights(5)
    assert uplink.newer_weights() == b"first"
    assert uplink.newer_weights() is None
    learner.weights = b"second"
    arrived: list[bytes | None] = []
    until("newer weights", lambda: arrived.append(uplink.newer_weights()) or arrived[-1])
    assert arrived[-1] == b"second"


def test_submitting_never_waits_and_memory_stays_bounded():
    uplink = LearnerClient("http://127.0.0.1:1", games=2)
    began = time.monotonic()
    for number in range(1000):
        uplink.submit(b"%d" % number)
    assert time.monotonic() - began < 1
    assert uplink.rollouts_dropped == 1000 - QUEUED_ROLLOUTS - 2


def test_who_is_ahead_of_the_learner_may_wait_until_it_has_caught_up(
    uplink: LearnerClient, learner: Learner
):
    learner.gate.clear()
    uplink.start()
    assert uplink.wait_for_room(0)
    for number in range(QUEUED_ROLLOUTS + 1):
        uplink.submit(b"%d" % number)
    assert not uplink.wait_for_room(0.05)
    learner.gate.set()
    assert uplink.wait_for_room(5)
    until("none is lost", lambda: len(learner.taken) == QUEUED_ROLLOUTS + 1)


def test_play_goes_on_while_the_learner_is_away_and_the_newest_rollouts_reach_it_later(
    uplink: LearnerClient, port: int
):
    uplink.start()
    for number in range(30):
        uplink.submit(b"%d" % number)
    assert uplink.wait_for_room(5), "a learner that is away holds nobody up"
    back = Learner(port)
    try:
        until("the newest arrive", lambda: b"29" in back.taken)
        assert len(back.taken) <= QUEUED_ROLLOUTS + 2 + 1
        assert uplink.wait_for_weights(5)
    finally:
        back.stop()


def test_closing_waits_for_nobody(uplink: LearnerClient):
    uplink.start()
    uplink.submit(b"x")
    began = time.monotonic()
    uplink.close()
    assert time.monotonic() - began < 1
    assert uplink.wait_for_room(5)
