"""What agents ask of the head, on the page's port, with a stand-in for the learner behind it."""

import contextlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from metabonk.http.app import make_http_app
from metabonk.messages.fleet import Featured
from metabonk.messages.nodes import EPOCH_HEADER, HEAD_HEADER, ROLLOUT_HEADER
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.nodes.head import Nodes
from metabonk.orchestrator.nodes.routes import LearnerLink, NodesMiddleware
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from tests.support.clock import Clock
from tests.support.serving import free_port, served
from tests.support.statuses import episode, status

TOKEN, VIEWERS_TOKEN = "the-token-of-the-nodes", "the-token-of-viewers"
FEATURED = Featured(live=["omega-0"], rotate_s=60.0, next="omega-1", next_in_s=5.0)
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Learner:
    """Counts rollouts, and refuses the first ones with 503 if it is asked to."""

    def __init__(self) -> None:
        self.rollouts: list[bytes] = []
        self.refuses = 0
        self.app = FastAPI()

        @self.app.post("/rollouts", status_code=202)
        async def rollouts(request: Request) -> Response:
            if self.refuses:
                self.refuses -= 1
                return Response(status_code=503)
            self.rollouts.append(await request.body())
            return Response(status_code=202)

        @self.app.get("/weights")
        def weights(request: Request) -> Response:
            known = request.headers.get("if-none-match") == '"3"'
            return Response(b"" if known else b"numbers", 304 if known else 200, {"ETag": '"3"'})


class Setup:
    """The head's page, and a node whose port answers."""

    def __init__(self, client: httpx.Client, learner: Learner, state: FleetState, clock: Clock):
        self.client = client
        self.learner = learner
        self.state = state
        self.clock = clock
        self.nodes: Nodes
        self.link: LearnerLink
        self.port = 0

    def join(self, node: str = "a", **changed: Any) -> httpx.Response:
        request = {
            "version": version("metabonk"),
            "node": node,
            "agent": "agent-of-this-test",
            "machine": f"machine of {node}",
            "port": self.port,
            "resources": {"cores": 2, "gpus": [], "sessions": 1},
        }
        return self.client.post("/api/nodes/join", json=request | changed, headers=BEARER)

    def report(self, joined: dict[str, Any], **changed: Any) -> httpx.Response:
        report = {
            "head": joined["head"],
            "epoch": joined["epoch"],
            "clock": 0.0,
            "running": [],
            "statuses": [],
            "featured": FEATURED.model_dump(),
        }
        return self.client.post("/api/nodes/a/report", json=report | changed, headers=BEARER)


def messages(setup: Setup) -> list[str]:
    return [problem.message for problem in setup.nodes.problems()]


def headers_of(joined: dict[str, Any], **more: object) -> dict[str, str]:
    known = {HEAD_HEADER: joined["head"], EPOCH_HEADER: str(joined["epoch"])}
    return BEARER | known | {name: str(value) for name, value in more.items()}


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    learner, clock, agent = Learner(), Clock(), FastAPI()
    store = EpisodeStore(tmp_path, "doom:basic")
    settings = Settings.model_validate({"workers": 2, "nodes": {"count": 1}})
    state = FleetState(settings, store, clock)
    nodes = Nodes(state, "run", {}, TOKEN, how_to_join="metabonk join", clock=clock)
    agent.get("/agent", response_class=PlainTextResponse)(lambda: "agent-of-this-test")
    learner_port, agent_port = free_port(), free_port()
    link = LearnerLink(f"http://127.0.0.1:{learner_port}")

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        async with link.opened():
            yield

    page = make_http_app("page", token=VIEWERS_TOKEN, lifespan=lifespan)
    page.add_middleware(NodesMiddleware, nodes=nodes, learner=link)
    with served(learner.app, learner_port), served(agent, agent_port), served(page) as client:
        opened = Setup(client, learner, state, clock)
        opened.nodes, opened.link, opened.port = nodes, link, agent_port
        yield opened
    store.close()


@pytest.mark.parametrize("token", [None, VIEWERS_TOKEN, TOKEN[:-1], f"{TOKEN}x"])
def test_every_path_wants_the_nodes_token_and_not_the_viewers(setup: Setup, token: str | None):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    for method, path in (
        *(("POST", "join"), ("POST", "a/report"), ("POST", "a/rollouts")),
        *(("GET", "a/weights"), ("DELETE", "a"), ("GET", "nothing")),
    ):
        answer = setup.client.request(method, f"/api/nodes/{path}", headers=headers)
        assert answer.status_code == 401, path
    # Nor does it open the page.
    assert setup.client.get("/api/fleet", headers=BEARER).status_code == 401


def test_a_node_that_joins_is_told_its_workers(setup: Setup):
    joined = setup.join().json()
    assert joined["run"] == "run"
    orders = setup.report(joined).json()
    assert [grant["worker_index"] for grant in orders["workers"]] == [0, 1]
    setup.nodes.tick()
    member = setup.state.roster.find("omega-1")
    assert member is not None and member.address is not None
    assert member.address.url == f"http://127.0.0.1:{setup.port}/worker/omega-1"
    assert member.address.headers == (("Authorization", f"Bearer {TOKEN}"),)


def test_what_it_reports_is_that_of_its_own_workers(setup: Setup):
    joined = setup.join().json()
    statuses = [status(1, step=70).model_dump(mode="json"), status(7).model_dump(mode="json")]
    answer = setup.report(joined, running=[0, 1], statuses=statuses)
    assert answer.json()["workers"][1]["step"] == 70
    assert {name: each.node for name, each in setup.state.workers().items()} == {"omega-1": "a"}
    assert setup.state.featured().next == "omega-1"


def test_times_of_a_node_whose_clock_is_wrong_are_corrected(setup: Setup):
    import time

    joined, ended_at = setup.join().json(), time.time() + 3600
    late = episode(1).model_copy(update={"ended_at": ended_at}).model_dump(mode="json")
    setup.report(joined, clock=ended_at, episodes=[late])
    assert setup.state.store is not None
    (point,) = setup.state.store.curve(1)
    assert abs(point.ended_at - time.time()) < 60
    (problem,) = setup.nodes.problems()
    assert problem.message.startswith("the clock of node a is 3600 s ahead of the head's")


def test_a_rollout_that_comes_twice_is_learned_from_once(setup: Setup):
    joined = setup.join().json()
    headers = headers_of(joined, **{ROLLOUT_HEADER: 5})
    for _ in range(2):
        answer = setup.client.post("/api/nodes/a/rollouts", content=b"one", headers=headers)
        assert answer.status_code == 202
    assert setup.learner.rollouts == [b"one"]


def test_a_rollout_that_the_learner_had_no_room_for_may_come_again(setup: Setup):
    joined, setup.learner.refuses = setup.join().json(), 1
    headers = headers_of(joined, **{ROLLOUT_HEADER: 5})
    codes = [
        setup.client.post("/api/nodes/a/rollouts", content=b"one", headers=headers).status_code
        for _ in range(2)
    ]
    assert (codes, setup.learner.rollouts) == ([503, 202], [b"one"])


def test_weights_pass_with_their_tag(setup: Setup):
    headers = headers_of(setup.join().json())
    answer = setup.client.get("/api/nodes/a/weights", headers=headers)
    assert (answer.content, answer.headers["etag"]) == (b"numbers", '"3"')
    known = setup.client.get("/api/nodes/a/weights", headers=headers | {"If-None-Match": '"3"'})
    assert known.status_code == 304


@pytest.mark.parametrize("changed", [{"head": "another"}, {"epoch": 99}])
def test_messages_of_another_epoch_are_refused(setup: Setup, changed: dict[str, Any]):
    stale = setup.join().json() | changed
    answers = [
        setup.report(stale),
        setup.client.post(
            "/api/nodes/a/rollouts", content=b"x", headers=headers_of(stale, **{ROLLOUT_HEADER: 1})
        ),
        setup.client.get("/api/nodes/a/weights", headers=headers_of(stale)),
        setup.client.delete("/api/nodes/a", headers=headers_of(stale)),
    ]
    assert [answer.status_code for answer in answers] == [410] * 4
    assert answers[0].json()["error"] == "stale_epoch"
    assert setup.learner.rollouts == []


def test_the_epoch_of_a_node_that_was_silent_for_long_is_void(setup: Setup):
    joined = setup.join().json()
    setup.clock.now += 31.0
    setup.nodes.tick()
    assert setup.report(joined).status_code == 410
    assert setup.join().json()["epoch"] > joined["epoch"]


def test_another_version_is_refused_in_a_sentence(setup: Setup):
    answer = setup.join(version="0.0.1", something="that this version doesn't know")
    assert (answer.status_code, answer.json()["error"]) == (409, "other_version")
    assert "this node 0.0.1; install the same" in answer.json()["message"]
    # On the page as well, until it has joined.
    assert f"node a can't join: {answer.json()['message']}" in messages(setup)
    setup.join()
    assert messages(setup) == []


def test_a_request_of_this_version_that_cannot_be_read_is_refused(setup: Setup):
    answer = setup.join(port=0)
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")


def test_why_an_agent_has_ended_is_on_the_page_for_a_minute(setup: Setup):
    joined = setup.join().json()
    failure = "can't write runs/nodes/a/run/settings.json: No space left on device"
    answer = setup.client.delete(
        "/api/nodes/a", params={"failure": failure}, headers=headers_of(joined)
    )
    assert answer.status_code == 204
    assert f"node a can't join: {failure}" in messages(setup)
    setup.clock.now += 61.0
    assert not any("can't join" in message for message in messages(setup))


def test_a_fleet_that_only_plays_gives_its_newest_checkpoint(setup: Setup):
    headers, found = headers_of(setup.join().json()), [b"numbers", None]
    setup.link.checkpoint = lambda: found.pop(0)
    answers = [setup.client.get("/api/nodes/a/weights", headers=headers) for _ in range(2)]
    assert answers[0].content == b"numbers"
    assert (answers[1].status_code, answers[1].json()["error"]) == (503, "no_checkpoint")


def test_a_node_that_the_head_cannot_reach_is_told_what_to_do(setup: Setup):
    answer = setup.join(port=free_port())
    assert (answer.status_code, answer.json()["error"]) == (502, "node_unreachable")
    assert "--address" in answer.json()["message"]


def test_another_program_at_the_nodes_address_is_no_agent(setup: Setup):
    answer = setup.join(agent="another")
    assert "another program answers there" in answer.json()["message"]


def test_a_fleet_that_stops_tells_its_nodes(setup: Setup):
    joined = setup.join().json()
    setup.nodes.close()
    orders = setup.report(joined).json()
    assert (orders["workers"], orders["stopping"]) == ([], True)
