"""CPU time that viewers of one stream cost, through the page's port and on the worker's own.

``python -m benchmarks.viewers [--sizes 1 20 100] [--rounds 3] [--seconds 6]`` serves recorded video
(4 Mbit/s, 30 frames and 10 thoughts a second) from one process, and the page's port from another,
both with the real servers and without anything else. Viewers join by WebSocket, the ports
alternating. Printed are shares of a core, medians over the rounds: of either process, and of both
for each viewer beyond the first. Set ``PYTHONPATH`` to measure another checkout.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
from fastapi import FastAPI
from rich.console import Console
from rich.table import Table
from tests.support.frames import encode_frames, padded
from tests.support.recordings import thought
from tests.support.serving import free_ports

from metabonk.encoding.access_unit import AccessUnit
from metabonk.http.app import make_http_app
from metabonk.http.server import HttpServer
from metabonk.messages.streams import PolicyMessage
from metabonk.messages.workers import StreamState
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.gateway.workers import Gateway
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from metabonk.streaming.hub import Hub
from metabonk.streaming.websocket import websocket_routes

FPS, GOP, SIZE = 30, 60, (1280, 720)
PADDING = 4_000_000 // 8 // FPS
FRAMES_PER_THOUGHT = 3
SETTLE_S = 1.5

THOUGHT = thought(7)


def serve_stream(port: int) -> None:
    """Publish a recorded group of pictures again and again."""
    units = [padded(unit, PADDING) for unit in encode_frames(range(GOP), size=SIZE)]
    hub, app = Hub(), FastAPI()
    app.include_router(websocket_routes(hub, PolicyMessage(actions=["left", "right", "fire"])))
    hub.open_epoch(*SIZE, FPS)
    HttpServer(app, "127.0.0.1", port).start()
    began = time.monotonic()
    for number in itertools.count():
        time.sleep(max(0.0, began + number / FPS - time.monotonic()))
        unit = units[number % GOP]
        thoughts = [THOUGHT] if number % FRAMES_PER_THOUGHT == 0 else []
        hub.publish(AccessUnit(unit.data, time.monotonic(), unit.keyframe), thoughts)
        if number == 0:
            hub.set_state(StreamState.LIVE, "live")


def serve_page(port: int, stream_port: int) -> None:
    """Serve worker 0 through the page's port."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate({"ports": {"worker": stream_port}})
        gateway = Gateway(FleetState(settings, EpisodeStore(Path(folder), "doom:basic")))
        app = make_http_app("page", lifespan=gateway.lifespan)
        app.include_router(gateway.routes())
        HttpServer(app, "127.0.0.1", port).start()
        while True:
            time.sleep(60)


class Viewer(asyncio.Protocol):
    """Viewer that costs next to nothing: it counts bytes."""

    received = 0

    def data_received(self, data: bytes) -> None:
        """Count."""
        self.received += len(data)


async def join(port: int, path: str) -> tuple[asyncio.Transport, Viewer]:
    """Connect a viewer."""
    loop = asyncio.get_running_loop()
    transport, viewer = await loop.create_connection(Viewer, "127.0.0.1", port)
    transport.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    return transport, viewer


@dataclass(frozen=True, slots=True)
class Cost:
    """Shares of a core, and the least that a viewer received, Mbit/s."""

    page: float
    stream: float
    received: float

    @property
    def total(self) -> float:
        """Share of a core of both processes."""
        return self.page + self.stream


async def measure(
    processes: tuple[psutil.Process, psutil.Process],
    port: int,
    path: str,
    size: int,
    seconds: float,
) -> Cost:
    """Return the cost of ``size`` viewers."""

    def used() -> list[float]:
        return [sum(process.cpu_times()[:2]) for process in processes]

    async with AsyncExitStack() as stack:
        viewers = []
        for _ in range(size):
            transport, viewer = await join(port, path)
            stack.callback(transport.abort)
            viewers.append(viewer)
        await asyncio.sleep(SETTLE_S)
        began, before = time.monotonic(), used()
        earlier = [viewer.received for viewer in viewers]
        await asyncio.sleep(seconds)
        took, after = time.monotonic() - began, used()
        least = min(v.received - n for v, n in zip(viewers, earlier, strict=True))
    page, stream = ((b - a) / took for a, b in zip(before, after, strict=True))
    return Cost(page, stream, 8e-6 * least / took)


async def wait_for(port: int) -> None:
    """Wait until a port is served."""
    while True:
        try:
            (await asyncio.get_running_loop().create_connection(Viewer, "127.0.0.1", port))[
                0
            ].abort()
            return
        except OSError:
            await asyncio.sleep(0.2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 20, 100])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    arguments = parser.parse_args()
    page_port, stream_port = free_ports(2)
    spawn = multiprocessing.get_context("spawn")
    servers = [
        spawn.Process(target=serve_page, args=(page_port, stream_port), daemon=True),
        spawn.Process(target=serve_stream, args=(stream_port,), daemon=True),
    ]
    for server in servers:
        server.start()
    page, stream = (psutil.Process(server.pid) for server in servers)
    ways = {"page": (page_port, "/api/worker/omega-0/stream"), "worker": (stream_port, "/stream")}
    costs: dict[tuple[str, int], list[Cost]] = defaultdict(list)
    for port, _ in ways.values():
        asyncio.run(wait_for(port))
    for _ in range(arguments.rounds):
        for size in arguments.sizes:
            for way, (port, path) in ways.items():
                cost = asyncio.run(measure((page, stream), port, path, size, arguments.seconds))
                costs[way, size].append(cost)
    least = min(arguments.sizes)
    base = {way: statistics.median(c.total for c in costs[way, least]) for way in ways}
    table = Table("port", "viewers", "Mbit/s", "orchestrator", "worker", "each further viewer")
    for (way, size), measured in sorted(costs.items()):
        added = [(c.total - base[way]) / (size - least) for c in measured] if size > least else []
        table.add_row(
            way,
            str(size),
            f"{min(c.received for c in measured):.1f}",
            f"{statistics.median(c.page for c in measured):.1%}",
            f"{statistics.median(c.stream for c in measured):.1%}",
            f"{statistics.median(added):.2%}" if added else "",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
