"""The client of the learner, with a server in place of the learner."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.http import weights_poller
from metabonk.policy.rollout_socket import Answer, RolloutListener
from metabonk.worker import learner_client as client_module
from metabonk.worker.learner_client import QUEUED_ROLLOUTS, LearnerClient
from tests.support.serving import free_ports
from tests.support.waiting import GENEROUS_S, until


class Learner(ThreadingHTTPServer):
    """Takes rollouts while the gate is open, is busy while it is not, and serves weights."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.taken: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
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
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"weights")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "RETRY_S", 0.02)
    monkeypatch.setattr(weights_poller, "INTERVAL_S", 0.02)


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
    """Weights that the client passed on, oldest first."""
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


def test_submitting_never_waits_and_memory_stays_bounded():
    client = LearnerClient("http://127.0.0.1:1", lambda weights: None, games=2)
    for number in range(1000):
        client.submit(b"%d" % number)
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
    assert client.wait_until_not_full(GENEROUS_S)
    until("none is lost", lambda: len(learner.taken) == QUEUED_ROLLOUTS + 1)


def test_while_the_learner_does_not_answer_play_continues_and_it_gets_the_newest_rollouts_later(
    client: LearnerClient, port: int, weights: list[bytes]
):
    client.start()
    for number in range(30):
        client.submit(b"%d" % number)
    assert client.wait_until_not_full(GENEROUS_S), "a learner that does not answer delays nobody"
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
    assert time.monotonic() - began < client_module.TIMEOUT_S
    assert client.wait_until_not_full(GENEROUS_S)


def test_a_learner_that_is_still_starting_is_not_missed(
    client: LearnerClient, port: int, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", client_module.log.name)
    client.start()
    for number in range(QUEUED_ROLLOUTS):
        client.submit(b"%d" % number)
    assert client.wait_until_not_full(GENEROUS_S), "nobody waits for it"
    learner = Learner(port)
    until("the first arrived", lambda: learner.taken)
    assert caplog.text == ""
    learner.stop()
    until("the outage is noticed", lambda: "the learner does not answer" in caplog.text)


def test_a_learner_that_never_answers_is_missed_once(
    client: LearnerClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client._contact, "_expected_from", time.monotonic())
    client.start()
    client.submit(b"0")
    until("it is missed", lambda: "the learner does not answer" in caplog.text)
    time.sleep(0.2)
    assert caplog.text.count("does not answer") == 1


def test_rollouts_go_through_shared_memory_where_the_learner_listens(learner: Learner, port: int):
    received: list[bytes] = []
    answers = iter([Answer(503, "full"), Answer(409, "of another game")])

    def receive(rollout: NDArray[np.uint8], _: float) -> Answer:
        received.append(bytes(rollout))
        return next(answers, Answer(202))

    listener = RolloutListener(port, 100, receive)
    listener.start()
    client = LearnerClient(f"http://127.0.0.1:{port}", lambda _: None)
    client.start()
    client.submit(b"first")
    client.submit(b"second")
    until("both have come", lambda: received == [b"first", b"first", b"second"])
    listener.close()
    client.submit(b"third")
    until("the next one comes by HTTP", lambda: learner.taken == [b"third"])
    client.close()
