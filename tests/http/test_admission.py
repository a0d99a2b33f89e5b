"""``metabonk.http.admission``: a server with more clients than it may have."""

import asyncio
import contextlib
import itertools
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from starlette.responses import StreamingResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from metabonk.http.app import make_http_app
from metabonk.http.connection import ConnectionLimits
from metabonk.messages.base import ErrorBody
from tests.support.serving import free_port, served
from tests.support.sockets import flood
from tests.support.waiting import GENEROUS_S, until

LIMITS = ConnectionLimits(max_open=5, max_endless=3)
FLOODED = 600


def endless_app(released: threading.Event | None = None) -> FastAPI:
    app = make_http_app("test")

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"begin"
            await asyncio.Event().wait()

        return StreamingResponse(chunks())

    @app.get("/short")
    async def short() -> str:
        return "short"

    @app.get("/held")
    async def held() -> str:
        while released is not None and not released.is_set():
            await asyncio.sleep(0.01)
        return "held"

    @app.websocket("/socket")
    async def listen(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive()

    return app


@pytest.fixture
def released() -> threading.Event:
    """Lets held requests be answered."""
    return threading.Event()


@pytest.fixture
def client(released: threading.Event) -> Iterator[httpx.Client]:
    with served(endless_app(released), limits=LIMITS) as client:
        yield client


@contextlib.contextmanager
def watching(client: httpx.Client, count: int) -> Iterator[None]:
    """Open endless responses, all admitted."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            answer = stack.enter_context(client.stream("GET", "/endless"))
            assert answer.status_code == 200
        yield


def socket_address(client: httpx.Client) -> str:
    return f"ws://127.0.0.1:{client.base_url.port}/socket"


def test_an_endless_response_too_many_is_refused_and_short_ones_are_served(client: httpx.Client):
    with watching(client, LIMITS.max_endless):
        refused = client.get("/endless")
        assert refused.status_code == 503 and refused.headers["Retry-After"]
        assert ErrorBody.model_validate_json(refused.content).error == "too_many_viewers"
        with pytest.raises(InvalidStatus, match="503"), connect(socket_address(client)):
            pass
        assert client.get("/short").json() == "short"


def test_a_response_that_ends_makes_room(client: httpx.Client):
    with watching(client, LIMITS.max_endless - 1), connect(socket_address(client)):
        assert client.get("/endless").status_code == 503
    until("there is room again", lambda: _fit(client, LIMITS.max_endless))


def _fit(client: httpx.Client, count: int) -> bool:
    with contextlib.suppress(AssertionError), watching(client, count):
        return True
    return False


def test_a_request_too_many_is_refused_before_it_is_served(
    client: httpx.Client, released: threading.Event
):
    async def ask() -> list[int]:
        async with httpx.AsyncClient(
            base_url=client.base_url, timeout=GENEROUS_S, trust_env=False
        ) as many:
            asked = [asyncio.create_task(many.get("/held")) for _ in range(LIMITS.max_open + 2)]
            for refused in itertools.islice(asyncio.as_completed(asked), 2):
                await refused
            released.set()
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert sorted(asyncio.run(ask())) == [200] * LIMITS.max_open + [503] * 2


@pytest.mark.parametrize("descriptors", [256, 1024, 4096, 65_536])
def test_three_servers_leave_a_quarter_of_the_descriptors(descriptors: int):
    limits = ConnectionLimits.within(descriptors)
    accepted = limits.max_pending + 4 * limits.accept_batch
    direct, forwarding = accepted + limits.max_open, accepted + 2 * limits.max_open
    assert direct + 2 * forwarding <= 3 * descriptors / 4
    assert 0 < limits.max_endless < limits.max_open and limits.accept_batch > 0


SERVER = """
    import logging, resource, sqlite3, subprocess, sys, threading
    from pathlib import Path
    from metabonk.http.server import HttpServer
    from metabonk.system.process import configure_logging
    from tests.http.test_admission import endless_app

    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    configure_logging("test")
    HttpServer(endless_app(), "127.0.0.1", int(sys.argv[1])).start()
    print("ready", flush=True)
    ended = threading.Thread(target=sys.stdin.read)
    ended.start()
    done = 0
    while ended.is_alive():
        subprocess.run(["/bin/true"], check=True)
        sqlite3.connect(":memory:").close()
        Path(sys.argv[2]).write_text("x")
        done += 1
        ended.join(0.02)
    print(done, flush=True)
"""


@contextlib.contextmanager
def supervising(port: int, file: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server that may open 256 descriptors and starts processes all the while."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER), str(port), file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_flood_of_connections_takes_no_descriptor_from_the_supervision(tmp_path):
    port = free_port()
    with supervising(port, str(tmp_path / "file")) as process:
        flood(port, FLOODED)
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=GENEROUS_S
        ) as client:
            assert client.get("/short", timeout=60).json() == "short"
        flood(port, FLOODED, b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        output, log = process.communicate(timeout=60)
    assert process.returncode == 0 and int(output) > 0, log
    assert log == ""
