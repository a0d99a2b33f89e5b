"""The program's routes without its process; ``tests/integration/test_program.py`` has all of it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from metabonk.http.app import make_http_app
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.program import routes as program_routes
from metabonk.orchestrator.program.routes import ProgramGate, order_routes, pin_routes
from metabonk.settings import Settings
from tests.support.serving import free_port, served


@pytest.fixture
def state() -> FleetState:
    return FleetState(Settings(), None)


@pytest.fixture
def client(state: FleetState, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setattr(program_routes, "START_TIMEOUT_S", 0.2)
    gate = ProgramGate(state)
    app = make_http_app("page", lifespan=gate.lifespan)
    for router in (gate.routes(), order_routes(state), pin_routes(state)):
        app.include_router(router)
    with served(app) as client:
        yield client


@pytest.mark.parametrize("path", ["/program.ts", "/program.mp4"])
def test_a_request_starts_its_process_and_says_where_to_look_if_it_does_not_start(
    state: FleetState, client: httpx.Client, path: str
):
    assert not state.program.is_wanted
    answer = client.get(path)
    assert answer.status_code == 503
    assert "logs/program.log" in answer.json()["message"]
    assert state.program.is_wanted


def test_a_program_that_speaks_no_protocol_is_a_502(
    state: FleetState, client: httpx.Client, tmp_path: Path
):
    with served(make_http_app("another program"), port := free_port()):
        state.program.port = port
        answer = client.get("/program.ts")
    assert (answer.status_code, answer.json()["error"]) == (502, "program_unreachable")


def test_head_tells_the_type_and_starts_nothing(state: FleetState, client: httpx.Client):
    assert client.head("/program.ts").headers["content-type"] == "video/mp2t"
    assert client.head("/program.mp4").headers["content-type"] == "video/mp4"
    assert not state.program.is_wanted


def test_a_worker_is_pinned_and_let_go(state: FleetState, client: httpx.Client):
    assert client.get("/api/program/pin").json() == {"worker": None}
    assert client.put("/api/program/pin", json={"worker": "omega-1"}).status_code == 200
    assert client.get("/api/program/order").json()["pin"] == "omega-1"
    assert client.put("/api/program/pin", json={"worker": "omega-9"}).status_code == 404
    assert state.fleet().pin == "omega-1", "pages are told"
    client.put("/api/program/pin", json={"worker": None}).raise_for_status()
    assert state.program.pin is None
