"""Stills of a stand-in worker through the page's port, over real sockets."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from websockets.sync.client import ClientConnection, connect

from metabonk.http.app import make_http_app
from metabonk.messages.streams import PolicyMessage
from metabonk.messages.workers import StreamState
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.gateway.workers import Gateway
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from metabonk.streaming.hub import Hub
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.websocket import websocket_routes
from tests.support.serving import free_ports, served


class Numbered(Snapshot):
    """Snapshots that tell their width and number."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.asked: list[int | None] = []

    async def jpeg(self, max_width: int | None = None) -> bytes:
        self.asked.append(max_width)
        return f"{max_width} wide, number {len(self.asked)}".encode()


class Worker:
    """A worker in standby."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.snapshot = Numbered()
        self.app = FastAPI()
        self.app.include_router(
            websocket_routes(self.hub, PolicyMessage(actions=[]), self.snapshot)
        )

    @property
    def asked(self) -> list[int | None]:
        return self.snapshot.asked


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def address(tmp_path: Path, worker: Worker) -> Iterator[str]:
    store = EpisodeStore(tmp_path, "doom:basic")
    (port,) = free_ports(1, spare=1)
    settings = Settings.model_validate({"ports": {"worker": port}})
    gateway = Gateway(FleetState(settings, store))
    app = make_http_app("page", lifespan=gateway.lifespan)
    app.include_router(gateway.routes())
    with served(worker.app, settings.worker_port(0)), served(app) as page:
        yield f"ws://127.0.0.1:{page.base_url.port}/api/worker/omega-0/stream"
    store.close()


@contextmanager
def open_socket(address: str, max_width: int | None) -> Iterator[ClientConnection]:
    with connect(address, proxy=None) as socket:
        socket.send(json.dumps({"type": "stills", "max_width": max_width}))
        yield socket


def still(socket: ClientConnection) -> str:
    """Return the next still, which is text here."""
    while (message := json.loads(socket.recv(10)))["type"] != "still":
        pass
    return base64.b64decode(message["jpeg"]).decode()


def test_a_viewer_of_a_worker_in_standby_is_sent_stills_as_wide_as_it_asked(address: str):
    with open_socket(address, 160) as socket:
        assert still(socket) == "160 wide, number 1"
        assert still(socket) == "160 wide, number 2"


def test_viewers_of_one_width_share_a_still(address: str, worker: Worker):
    with open_socket(address, 320) as first, open_socket(address, 320) as second:
        assert {still(first), still(second)} == {"320 wide, number 1"}


def test_a_stream_with_video_needs_no_stills(address: str, worker: Worker):
    worker.hub.set_state(StreamState.LIVE, "streaming")
    with open_socket(address, 160) as socket:
        with pytest.raises(TimeoutError):
            while json.loads(socket.recv(1.5))["type"] != "still":
                pass
        worker.hub.set_state(StreamState.STANDBY, "its turn is over")
        assert still(socket) == "160 wide, number 1"


def test_whoever_asks_for_none_is_sent_none(address: str, worker: Worker):
    with open_socket(address, None) as socket, pytest.raises(TimeoutError):
        while json.loads(socket.recv(1.5))["type"] != "still":
            pass
    assert worker.asked == []
