"""The learner as a node's workers see it, with a stand-in for the head behind it."""

import threading
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from metabonk.messages.nodes import EPOCH_HEADER, HEAD_HEADER, ROLLOUT_HEADER
from metabonk.node import learner_port
from metabonk.node.head import Head, Membership
from metabonk.node.learner_port import QUEUED_ROLLOUTS, SENDERS, LearnerPort
from tests.support.serving import served
from tests.support.waiting import until


class FakeHead:
    """Keeps what it is sent; takes rollouts while ``has_room`` is set."""

    def __init__(self) -> None:
        self.rollouts: dict[int, bytes] = {}
        self.senders: set[tuple[str | None, ...]] = set()
        self.weights_asked = 0
        self.has_room = True
        self.app = FastAPI()

        @self.app.post("/api/nodes/a/rollouts")
        async def rollouts(request: Request) -> Response:
            names = ("authorization", HEAD_HEADER, EPOCH_HEADER)
            self.senders.add(tuple(request.headers.get(name) for name in names))
            if not self.has_room:
                return Response(status_code=503)
            self.rollouts[int(request.headers[ROLLOUT_HEADER])] = await request.body()
            return Response(status_code=202)

        @self.app.get("/api/nodes/a/weights")
        def weights(request: Request) -> Response:
            self.weights_asked += 1
            known = request.headers.get("if-none-match") == '"9"'
            return Response(b"" if known else b"numbers", 304 if known else 200, {"ETag": '"9"'})


@pytest.fixture
def head() -> FakeHead:
    return FakeHead()


@pytest.fixture
def port(head: FakeHead, monkeypatch: pytest.MonkeyPatch) -> Iterator[LearnerPort]:
    monkeypatch.setattr(learner_port, "RETRY_S", 0.05)
    monkeypatch.setattr(learner_port, "ROOM_TIMEOUT_S", 0.5)
    with served(head.app) as client:
        client_of_head = Head(str(client.base_url), "the-token")
        opened = LearnerPort(client_of_head, Membership("a", "start-of-head", 7))
        opened.start()
        yield opened
        opened.close()
        client_of_head.close()


def test_rollouts_go_to_the_head_in_the_name_of_the_epoch(head: FakeHead, port: LearnerPort):
    with served(port.app) as worker:
        for body in (b"one", b"two"):
            assert worker.post("/rollouts", content=body).status_code == 202
        until("both have arrived", lambda: len(head.rollouts) == 2)
    assert sorted(head.rollouts) == [0, 1] and set(head.rollouts.values()) == {b"one", b"two"}
    assert head.senders == {("Bearer the-token", "start-of-head", "7")}


def test_a_full_queue_holds_up_the_workers(head: FakeHead, port: LearnerPort):
    head.has_room = False
    with served(port.app) as worker:
        codes = [
            worker.post("/rollouts", content=b"%d" % number).status_code
            for number in range(QUEUED_ROLLOUTS + SENDERS + 1)
        ]
        assert codes == [202] * (QUEUED_ROLLOUTS + SENDERS) + [503]
        head.has_room = True
        until("all have arrived", lambda: len(head.rollouts) == QUEUED_ROLLOUTS + SENDERS)


def test_nobody_waits_for_room_once_it_is_closed(
    head: FakeHead, port: LearnerPort, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(learner_port, "ROOM_TIMEOUT_S", 60.0)
    head.has_room = False
    with served(port.app) as worker:
        for _ in range(QUEUED_ROLLOUTS + SENDERS):
            worker.post("/rollouts", content=b"x")
        waiting = threading.Thread(target=worker.post, args=("/rollouts",), kwargs={"content": b""})
        waiting.start()
        port.close()
        waiting.join(10)
        assert not waiting.is_alive()


def test_weights_come_once_for_all_workers(head: FakeHead, port: LearnerPort):
    with served(port.app) as worker:

        def newest() -> httpx.Response | None:
            answer = worker.get("/weights")
            return answer if answer.status_code == 200 else None

        first = until("there are weights", newest)
        assert first.content == b"numbers"
        for _ in range(20):
            assert worker.get("/weights").content == b"numbers"
        known = worker.get("/weights", headers={"If-None-Match": first.headers["ETag"]})
        assert known.status_code == 304
    assert head.weights_asked <= 5
