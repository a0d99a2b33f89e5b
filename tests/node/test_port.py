"""A node's port in front of a real worker's stream."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from metabonk.node.port import NodePort
from metabonk.orchestrator.fleet.roster import Roster
from metabonk.settings import Settings
from tests.support.serving import served
from tests.support.stage import Stage, stage

TOKEN = "the-token-of-the-nodes"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


@pytest.fixture
def port(staged: Stage, tmp_path: Path) -> Iterator[httpx.Client]:
    node = NodePort("agent-of-this-test", TOKEN)
    settings = Settings.model_validate({"ports": {"worker": staged.port}})
    (tmp_path / "omega-0.log").write_text("one\ntwo\nthree\n")
    node.show(Roster(settings, here=[0]), tmp_path)
    with served(node.app) as client:
        yield client


def test_nothing_is_answered_without_the_token(port: httpx.Client):
    for path in ("/agent", "/worker/omega-0/status", "/worker/omega-0/log", "/openapi.json"):
        assert port.get(path).status_code == 401
        assert port.get(path, headers={"Authorization": "Bearer no"}).status_code == 401
    address = f"ws://127.0.0.1:{port.base_url.port}/worker/omega-0/stream"
    with pytest.raises(InvalidStatus) as refused:
        connect(address, proxy=None)
    assert refused.value.response.status_code == 401


def test_requests_and_logs_of_its_workers_pass(port: httpx.Client, staged: Stage):
    staged.go_live()
    assert port.get("/agent", headers=BEARER).text == "agent-of-this-test"
    stream = port.head("/worker/omega-0/stream.mp4", headers=BEARER)
    assert (stream.status_code, stream.headers["content-type"]) == (200, "video/mp4")
    log = port.get("/worker/omega-0/log", params={"lines": 2}, headers=BEARER)
    assert log.json() == {"lines": ["two", "three"]}


def test_a_stream_passes_as_it_is(port: httpx.Client, staged: Stage):
    staged.go_live()
    address = f"ws://127.0.0.1:{port.base_url.port}/worker/omega-0/stream?relay=true"
    with connect(address, proxy=None, additional_headers=BEARER, max_size=None) as head:
        assert '"policy"' in str(head.recv(10))
        head.send('{"dedicated": 3, "broadcast": 0, "saliency": false, "keyframe": true}')
        staged.wait_for_clients(3)


def test_workers_of_others_are_not_found(port: httpx.Client):
    answer = port.get("/worker/omega-1/status", headers=BEARER)
    assert answer.status_code == 404
    assert "this node does not play omega-1" in answer.json()["message"]
