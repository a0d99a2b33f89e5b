"""Streams of a stand-in worker through the page's port, over real sockets."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from metabonk.http.app import make_http_app
from metabonk.orchestrator.fleet import FleetState
from metabonk.orchestrator.gateway import Gateway
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from metabonk.settings.schema import Ports
from tests.support.serving import free_port, served
from tests.support.waiting import until

CHUNK = b"x" * 65_536


class Worker:
    """Stand-in that counts the bytes it could send and notices a viewer that leaves."""

    def __init__(self) -> None:
        self.sent = 0
        self.left = threading.Event()
        self.app = FastAPI()

        @self.app.get("/status")
        def status(request: Request) -> dict[str, object]:
            return {"query": str(request.query_params), "cookie": request.headers.get("cookie")}

        @self.app.api_route("/stream.mp4", methods=["GET", "HEAD"])
        async def stream() -> StreamingResponse:
            return StreamingResponse(self._endless(), media_type="video/mp4")

        @self.app.api_route("/stream.ts", methods=["GET", "HEAD"])
        def refuse() -> JSONResponse:
            body = {"error": "no_encoder_session", "message": "all are in use"}
            return JSONResponse(body, 503, {"Retry-After": "5"})

        @self.app.post("/whep")
        async def offer(request: Request) -> Response:
            told = [
                request.headers.get(name) for name in ("content-type", "x-forwarded-for", "cookie")
            ]
            body = (await request.body()).decode()
            headers = {"Location": "/whep/one?worker=omega-0"}
            return Response(f"{told} {body}", 201, headers, "application/sdp")

        @self.app.delete("/whep/{session}")
        def end(session: str) -> JSONResponse:
            return JSONResponse({"ended": session})

        @self.app.websocket("/stream")
        async def stream_socket(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text(str(websocket.query_params))
            try:
                match await websocket.receive_text():
                    case "flood":
                        while True:
                            await websocket.send_bytes(CHUNK)
                            self.sent += len(CHUNK)
                    case "close":
                        await websocket.close(4001, "enough")
                    case text:
                        await websocket.send_text(text)
                        await websocket.receive_text()
            except WebSocketDisconnect:
                self.left.set()

    async def _endless(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield CHUNK
                self.sent += len(CHUNK)
                await asyncio.sleep(0)
        finally:
            self.left.set()


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def gateway(tmp_path: Path, worker: Worker) -> Iterator[SimpleNamespace]:
    """The page's port with worker 0 behind it; worker 1 is not running."""
    store = EpisodeStore(tmp_path, "doom:basic")
    settings = Settings.model_validate({"ports": {"worker": free_port()}})
    proxy = Gateway(FleetState(settings, store))
    app = make_http_app("page", lifespan=proxy.lifespan)
    app.include_router(proxy.routes())
    with served(worker.app, settings.worker_port(0)), served(app) as page:
        address = f"ws://127.0.0.1:{page.base_url.port}/api/worker/omega-0/stream"
        yield SimpleNamespace(http=page, socket=address, worker="/api/worker/omega-0")
    store.close()


def bytes_until_stalled(worker: Worker) -> int:
    """Wait until the worker can send no more, and return the bytes it sent."""
    before = -1
    deadline = time.monotonic() + 20
    while worker.sent != before or worker.sent == 0:
        assert time.monotonic() < deadline, f"still sending after {worker.sent} bytes"
        before = worker.sent
        time.sleep(0.5)
    return worker.sent


def test_the_status_is_forwarded_with_its_query_and_without_cookies(gateway: SimpleNamespace):
    answer = gateway.http.get(f"{gateway.worker}/status?a=1", headers={"Cookie": "secret=1"})
    assert answer.json() == {"query": "a=1", "cookie": None}


def test_a_refusal_is_forwarded_with_its_headers(gateway: SimpleNamespace):
    for answer in (
        gateway.http.get(f"{gateway.worker}/stream.ts"),
        gateway.http.head(f"{gateway.worker}/stream.ts"),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert gateway.http.get(f"{gateway.worker}/stream.ts").json()["error"] == "no_encoder_session"
    assert gateway.http.head(f"{gateway.worker}/stream.mp4").headers["Content-Type"] == "video/mp4"


def test_a_stream_flows_and_ends_at_the_worker_when_the_viewer_leaves(
    gateway: SimpleNamespace, worker: Worker
):
    with gateway.http.stream("GET", f"{gateway.worker}/stream.mp4") as answer:
        assert answer.headers["Content-Type"] == "video/mp4"
        chunks = answer.iter_raw()
        assert sum(len(next(chunks)) for _ in range(50)) > 100_000
        assert not worker.left.is_set()
    assert worker.left.wait(5)


def test_a_viewer_that_reads_nothing_stalls_the_worker_and_fills_no_memory(
    gateway: SimpleNamespace, worker: Worker
):
    with gateway.http.stream("GET", f"{gateway.worker}/stream.mp4"):
        assert bytes_until_stalled(worker) < 40_000_000
    assert worker.left.wait(5)


def test_messages_are_relayed_both_ways_with_the_query(gateway: SimpleNamespace, worker: Worker):
    with open_socket(f"{gateway.socket}?audience=broadcast") as viewer:
        assert viewer.recv(timeout=5) == "audience=broadcast"
        viewer.send("hello")
        assert viewer.recv(timeout=5) == "hello"
    assert worker.left.wait(5), "the worker was not told that the viewer has left"


def test_the_workers_close_reaches_the_viewer_with_its_reason(gateway: SimpleNamespace):
    with open_socket(gateway.socket) as viewer:
        viewer.recv(timeout=5)
        viewer.send("close")
        with pytest.raises(ConnectionClosed) as caught:
            viewer.recv(timeout=5)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "enough")


def test_a_websocket_that_is_not_read_stalls_the_worker_too(
    gateway: SimpleNamespace, worker: Worker
):
    with open_socket(gateway.socket, max_queue=1) as viewer:
        viewer.recv(timeout=5)
        viewer.send("flood")
        assert bytes_until_stalled(worker) < 40_000_000
        viewer.socket.close()
    until("the viewer has left", worker.left.is_set)


@pytest.mark.parametrize("resource", ["status", "snapshot.jpg", "stream.mp4", "stream.ts"])
def test_a_worker_that_is_down_is_a_502_with_a_sentence(gateway: SimpleNamespace, resource: str):
    answer = gateway.http.get(f"/api/worker/omega-1/{resource}")
    assert (answer.status_code, answer.json()["error"]) == (502, "worker_unreachable")
    assert "omega-1 does not answer" in answer.json()["message"]


def test_the_websocket_of_a_worker_that_is_down_is_refused_in_the_handshake(
    gateway: SimpleNamespace,
):
    for name, status in (("omega-1", 502), ("omega-2", 404), ("x", 404)):
        with (
            pytest.raises(InvalidStatus, match=str(status)),
            open_socket(gateway.socket.replace("omega-0", name)),
        ):
            pass


@pytest.mark.parametrize("name", ["omega-2", "omega--1", "omega-0x", "localhost", "omega-00"])
def test_only_workers_can_be_reached(gateway: SimpleNamespace, name: str):
    answer = gateway.http.get(f"/api/worker/{name}/status")
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


def test_only_the_resources_that_the_page_needs_are_forwarded(gateway: SimpleNamespace):
    assert gateway.http.get(f"{gateway.worker}/metrics").status_code == 422
    assert gateway.http.post(f"{gateway.worker}/status").status_code == 405


def test_a_webrtc_offer_and_its_end_are_forwarded(gateway: SimpleNamespace):
    sdp = {"Content-Type": "application/sdp", "Cookie": "secret=1"}
    answer = gateway.http.post("/whep?worker=omega-0", content="the offer", headers=sdp)
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, "application/sdp")
    assert answer.text == "['application/sdp', '127.0.0.1', None] the offer"
    ended = gateway.http.delete(answer.headers["Location"])
    assert ended.json() == {"ended": "one"}
    assert gateway.http.delete("/whep/..%2Fstatus?worker=omega-0").status_code == 404


def test_an_offer_that_is_too_large_or_for_no_worker_is_refused(gateway: SimpleNamespace):
    large = gateway.http.post("/whep?worker=omega-0", content="x" * 70_000)
    assert (large.status_code, large.json()["error"]) == (413, "too_large")
    assert gateway.http.post("/whep?worker=omega-2", content="x").status_code == 404
    assert gateway.http.post("/whep?worker=omega-1", content="x").status_code == 502
    assert gateway.http.post("/whep", content="x").status_code == 422


def test_a_worker_that_dies_in_mid_stream_ends_the_stream(tmp_path: Path):
    store = EpisodeStore(tmp_path, "doom:basic")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        gateway = Gateway(FleetState(Settings(ports=Ports(worker=port)), store))
        app = make_http_app("page", lifespan=gateway.lifespan)
        app.include_router(gateway.routes())
        dying = threading.Thread(target=answer_half, args=(listener,))
        dying.start()
        with served(app) as page:
            assert page.get("/api/worker/omega-0/stream.mp4").content == b"half"
        dying.join()
    store.close()


def answer_half(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")


def open_socket(address: str, **options: object) -> ClientConnection:
    return connect(address, proxy=None, compression=None, close_timeout=1, **options)  # type: ignore[arg-type]
