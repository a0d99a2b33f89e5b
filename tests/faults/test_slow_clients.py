"""Slow and vanished clients lose their connection; another viewer doesn't notice."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import connect

from metabonk.http.app import make_http_app
from metabonk.http.connection import ConnectionLimits
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.gateway.workers import Gateway
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from tests.support.serving import served
from tests.support.sockets import ended, vanish
from tests.support.stage import Stage, stage
from tests.support.waiting import until

FEW, MANY = 100, 300
SHORT = ConnectionLimits(request_timeout_s=1.0, peer_timeout_s=3.0, max_pending=2 * MANY)


@pytest.fixture
def staged() -> Iterator[Stage]:
    with stage(limits=SHORT) as opened:
        opened.go_live()
        yield opened


@pytest.fixture
def page(staged: Stage, tmp_path: Path) -> Iterator[int]:
    """Return the port of the page in front of the worker."""
    store = EpisodeStore(tmp_path, "doom:basic")
    settings = Settings.model_validate({"ports": {"worker": staged.port}})
    gateway = Gateway(FleetState(settings, store))
    app = make_http_app("page", lifespan=gateway.lifespan)
    app.include_router(gateway.routes())
    with served(app, limits=SHORT) as client:
        yield client.base_url.port or 0
    store.close()


@contextlib.contextmanager
def watching(staged: Stage) -> Iterator[list[int]]:
    """Run a viewer during the block; yield the numbers of its frames, which must increase."""
    numbers: list[int] = []
    left = threading.Event()
    errors: list[str] = []

    def watch() -> None:
        with connect(f"{staged.ws}/stream", proxy=None, compression=None, max_size=None) as viewer:
            while not left.is_set():
                message = viewer.recv(timeout=30)
                if isinstance(message, bytes) and b"moof" in message[:16]:
                    at = message.index(b"mfhd") + 8
                    number = int.from_bytes(message[at : at + 4], "big")
                    if numbers and number <= numbers[-1]:
                        errors.append(f"{number} after {numbers[-1]}")
                    numbers.append(number)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        until("a frame", lambda: numbers)
        yield numbers
        before = len(numbers)
        until("further frames", lambda: len(numbers) > before + 5)
    finally:
        left.set()
        thread.join()
    assert not errors


def test_slow_requests_are_dropped_unnoticed_by_viewers(staged: Stage, long: bool):
    process = psutil.Process()
    before = process.num_fds()
    with watching(staged), contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", staged.port), 30))
            for _ in range(MANY if long else FEW)
        ]
        deadline = time.monotonic() + 3 * SHORT.request_timeout_s
        while time.monotonic() < deadline:
            for client in slow:
                with contextlib.suppress(OSError):
                    client.send(b"G")
            time.sleep(0.2)
        assert all(ended(client) for client in slow)
    until("all descriptors are closed", lambda: process.num_fds() <= before)


@pytest.mark.parametrize("way", ["/stream.mp4", "/stream.ts", "/stream"])
@pytest.mark.parametrize("through_page", [False, True], ids=["worker", "page"])
@pytest.mark.parametrize("gone", [True, False], ids=["vanished", "reads nothing"])
def test_a_viewer_that_reads_nothing_is_dropped(
    staged: Stage, page: int, way: str, through_page: bool, gone: bool
):
    port = page if through_page else staged.port
    path = f"/api/worker/omega-0{way}" if through_page else way
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
    if way == "/stream":
        head += (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        )
    with watching(staged), socket.socket() as viewer:
        # A small receive buffer, which is soon full.
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.settimeout(30)
        viewer.connect(("127.0.0.1", port))
        viewer.sendall(f"{head}\r\n".encode())
        assert viewer.recv(4096)
        until("it has joined", lambda: staged.hub.stats().clients == 2)
        if gone:
            vanish(viewer)
        until("it is dropped", lambda: staged.hub.stats().clients == 1, 60)
        assert staged.hub.state.state == "live"


def test_a_vanished_viewer_of_a_silent_stream_is_dropped(staged: Stage):
    """In standby nothing is sent, so TCP keep-alive has to notice."""
    head = (
        "GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    staged.go_standby()
    with socket.create_connection(("127.0.0.1", staged.port), 30) as viewer:
        viewer.sendall(head.encode())
        assert viewer.recv(4096)
        staged.wait_for_clients(1)
        vanish(viewer)
        until("it is dropped", lambda: staged.hub.stats().clients == 0, 60)
