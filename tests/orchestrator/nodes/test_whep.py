"""WebRTC for a worker of a node, whose peer is the head."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from metabonk.http.app import make_http_app
from metabonk.orchestrator.fleet.roster import WorkerAddress
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.gateway.workers import Gateway
from metabonk.orchestrator.nodes.whep import NodeWhep
from metabonk.settings import Settings
from tests.support.serving import free_port, served
from tests.support.stage import Stage, stage
from tests.support.waiting import GENEROUS_S, until_async
from tests.support.whep_player import Watcher

SETTINGS = Settings.model_validate({"workers": 2, "nodes": {"count": 1}})


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


@pytest.fixture
def page(staged: Stage) -> Iterator[str]:
    """The head's page; worker 0 is on a node, and worker 1 on one that doesn't answer."""
    state = FleetState(SETTINGS, None)
    state.roster.move("omega-0", WorkerAddress(staged.http, node="b"))
    state.roster.move("omega-1", WorkerAddress(f"http://127.0.0.1:{free_port()}", node="c"))
    gateway = Gateway(state, lambda relays: NodeWhep(relays, ["127.0.0.1"], enabled=True))
    app = make_http_app("page", lifespan=gateway.lifespan)
    app.include_router(gateway.routes())
    with served(app) as client:
        yield str(client.base_url)


def test_the_heads_peer_shows_the_stream_and_joins_it_once(staged: Stage, page: str):
    staged.go_live()

    async def scene() -> None:
        async with httpx.AsyncClient(base_url=page, trust_env=False, timeout=GENEROUS_S) as client:
            first, second = Watcher(client), Watcher(client)
            for player in (first, second):
                await player.connect("?worker=omega-0")
                assert player.location.endswith("?worker=omega-0")
            assert (await first.frame()).width == (await second.frame()).width > 0
            await until_async("both count", lambda: staged.hub.stats().dedicated_clients == 2)
            assert (await client.delete(first.location)).status_code == 200
            await until_async("one counts", lambda: staged.hub.stats().dedicated_clients == 1)
            assert (await client.delete(first.location)).status_code == 404
            await asyncio.gather(first.connection.close(), second.connection.close())

    asyncio.run(asyncio.wait_for(scene(), 60))


def test_a_node_that_does_not_answer_is_a_refusal(page: str):
    answer = httpx.post(f"{page}/whep?worker=omega-1", content="v=0", trust_env=False)
    assert answer.status_code == 502
    assert answer.json()["error"] == "worker_unreachable"
    assert "omega-1 does not answer" in answer.json()["message"]
