"""The client of the learner, with a server in place of the learner."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from metabonk.errors import PolicyError, WireError
from metabonk.worker import learner_client as client_module
from metabonk.worker.learner_client import QUEUED_ROLLOUTS, LearnerClient
from tests.support.serving import free_ports
from tests.support.waiting import until


class Learner(ThreadingHTTPServer):
    """Takes rollouts while the gate is open, is busy while it is not, and serves weights."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.taken: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.weights = b"first"
        self.asked = 0
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
        self.server.asked += 1
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
    monkeypatch.setattr(client_module, "POLL_S", 0.02)
    monkeypatch.setattr(client_module, "RETRY_S", 0.02)


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def learner(port: int) -> Iterator[Learner]:
    learner = Learner(port)
    yield learner
    learner.stop()


@pytest.fixture
def weights() -> list[bytes]:
    """What the client passed on, oldest first."""
    return []


@pytest.fixture
def client(port: int, weights: list[bytes]) -> Iterator[LearnerClient]:
    client = LearnerClient(f"http://127.0.0.1:{port}", weights.append, games=2)
    yield client
    client.close()


def test_rollouts_arrive_in_their_order(client: LearnerClient, learner: Learner):
    client.start()
    for number in range(5):
        client.submit(b"%d" % number)
    until("all arrived", lambda: len(learner.taken) == 5)
    assert learner.taken == [b"0", b"1", b"2", b"3", b"4"]


def test_weights_are_passed_on_once_each(
    client: LearnerClient, learner: Learner, weights: list[bytes]
):
    client.start()
    until("the first", lambda: weights)
    asked = learner.asked
    until("it asks again", lambda: learner.asked > asked + 1)
    assert weights == [b"first"]
    learner.weights = b"second"
    until("newer ones", lambda: len(weights) == 2)
    assert weights == [b"first", b"second"]


@pytest.mark.parametrize("error", [WireError, PolicyError])
def test_weights_that_cannot_be_used_are_logged_and_passed_over(
    port: int,
    learner: Learner,
    error: type[WireError] | type[PolicyError],
    caplog: pytest.LogCaptureFixture,
):
    taken: list[bytes] = []

    def load(weights: bytes) -> None:
        taken.append(weights)
        if weights == b"first":
            raise error("these are spoilt")

    client = LearnerClient(f"http://127.0.0.1:{port}", load)
    client.start()
    until("the first", lambda: taken)
    learner.weights = b"second"
    until("newer ones", lambda: len(taken) == 2)
    client.close()
    assert taken == [b"first", b"second"]
    assert "passed over: these are spoilt" in caplog.text


def test_submitting_never_waits_and_memory_stays_bounded():
    client = LearnerClient("http://127.0.0.1:1", lambda weights: None, games=2)
    began = time.monotonic()
    for number in range(1000):
        client.submit(b"%d" % number)
    assert time.monotonic() - began < 1
    assert client.rollouts_dropped == 1000 - QUEUED_ROLLOUTS - 2


def test_a_worker_ahead_of_the_learner_may_wait_until_it_has_caught_up(
    client: LearnerClient, learner: Learner
):
    learner.gate.clear()
    client.start()
    assert client.wait_until_not_full(0)
    for number in range(QUEUED_ROLLOUTS + 1):
        client.submit(b"%d" % number)
    assert not client.wait_until_not_full(0.05)
    learner.gate.set()
    assert client.wait_until_not_full(5)
    until("none is lost", lambda: len(learner.taken) == QUEUED_ROLLOUTS + 1)


def test_while_the_learner_does_not_answer_play_continues_and_it_gets_the_newest_rollouts_later(
    client: LearnerClient, port: int, weights: list[bytes]
):
    client.start()
    for number in range(30):
        client.submit(b"%d" % number)
    assert client.wait_until_not_full(5), "a learner that does not answer delays nobody"
    back = Learner(port)
    try:
        until("the newest arrive", lambda: b"29" in back.taken)
        assert len(back.taken) <= QUEUED_ROLLOUTS + 2 + 1
        until("weights", lambda: weights)
    finally:
        back.stop()


def test_closing_waits_for_no_answer(client: LearnerClient):
    client.start()
    client.submit(b"x")
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 1
    assert client.wait_until_not_full(5)
