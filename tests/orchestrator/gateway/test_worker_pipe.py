"""Programs of the head's machine, which have no token, on the way to a worker of a node."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from metabonk.http.app import make_http_app
from metabonk.orchestrator.fleet.roster import WorkerAddress
from metabonk.orchestrator.gateway.worker_pipe import WorkerPipe
from tests.support.serving import free_port, served
from tests.support.stage import Stage, stage

TS_SYNC = 0x47


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


@pytest.fixture
def api(staged: Stage) -> Iterator[httpx.Client]:
    """The head's API; worker 1 is on a node that doesn't answer."""
    addresses = {
        "omega-0": WorkerAddress(staged.http, node="b"),
        "omega-1": WorkerAddress(f"http://127.0.0.1:{free_port()}", node="c"),
    }
    pipe = WorkerPipe(addresses.get)
    app = make_http_app("api", lifespan=pipe.lifespan)
    app.include_router(pipe.ts_routes(enabled=True))
    app.include_router(pipe.routes())
    with served(app) as client:
        yield client


def test_restreamers_wait_for_a_stream_and_join_it_once(staged: Stage, api: httpx.Client):
    def first_byte() -> int:
        with api.stream("GET", "/worker/omega-0/stream.ts?wait=1") as response:
            return next(response.iter_bytes())[0]

    with ThreadPoolExecutor(2) as restreamers:
        # They ask once, before the worker is live.
        bytes_ = [restreamers.submit(first_byte) for _ in range(2)]
        staged.wait_for_clients(2)
        connections = psutil.Process().net_connections("tcp")
        here = [each for each in connections if each.laddr.port == staged.port]
        assert sum(each.status == psutil.CONN_ESTABLISHED for each in here) == 1
        staged.go_live()
        assert [each.result() for each in bytes_] == [TS_SYNC, TS_SYNC]


def test_a_node_that_does_not_answer_is_a_refusal(api: httpx.Client):
    answer = api.get("/worker/omega-1/stream.ts")
    assert (answer.status_code, answer.json()["error"]) == (502, "worker_unreachable")
    assert api.get("/worker/omega-2/stream.ts").status_code == 404
