"""go2rtc's port, in front of a stand-in on a Unix socket or of the real program."""

import asyncio
import json
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from metabonk.orchestrator.gateway import go2rtc_proxy
from metabonk.orchestrator.processes import go2rtc
from metabonk.settings import Settings
from tests.support.go2rtc_stand_in import install
from tests.support.serving import free_ports, served, served_on_socket
from tests.support.waiting import GENEROUS_S, until

REAL = os.environ.get("METABONK_GO2RTC_BIN")
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Host": "evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "video"},
]
OFFER = json.dumps({"type": "webrtc", "value": "v=0" + "x" * 8000})
"""A browser's offer is larger than anything that viewers of workers send."""


@dataclass
class Behind:
    """Requests that reached go2rtc."""

    requests: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    left: threading.Event = field(default_factory=threading.Event)


def settings_of(folder: Path, program: Path) -> Settings:
    names = ("go2rtc", "go2rtc_rtsp", "go2rtc_media", "orchestrator", "worker")
    return Settings.model_validate(
        {
            "go2rtc": {"enabled": True, "path": program},
            "paths": {"runtime": folder / "runtime", "logs": folder},
            "ports": dict(zip(names, free_ports(5), strict=True)),
        }
    )


def stand_in(behind: Behind) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.websocket("/api/ws")
    async def relay(viewer: WebSocket) -> None:
        await viewer.accept()
        try:
            await viewer.send_text(viewer.url.query)
            await viewer.send_bytes((await viewer.receive_text()).encode())
            await viewer.receive_text()
        except WebSocketDisconnect:
            behind.left.set()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.sleep(60)
        finally:
            behind.left.set()

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "PUT", "POST", "DELETE"])
    async def answer(path: str, request: Request) -> Response:
        seen = (request.method, request.url.path, request.url.query, await request.body())
        behind.requests.append(seen)
        behind.headers = dict(request.headers)
        if path == "api/stream.mp4":
            return StreamingResponse(endless(), media_type="video/mp4")
        more = {"Access-Control-Allow-Origin": "*", "ETag": "one", "Set-Cookie": "a=b"}
        return PlainTextResponse(f"{path}", 200, more)

    return app


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Behind, httpx.Client]]:
    """A stand-in for go2rtc, and the port in front of it."""
    folder = tmp_path_factory.mktemp("go2rtc")
    settings = settings_of(folder, install(folder))
    server = go2rtc_proxy.make_server(settings)
    assert server is not None
    behind = Behind()
    with served_on_socket(stand_in(behind), go2rtc.socket_path(settings)):
        server.start()
        with httpx.Client(
            base_url=go2rtc.address(settings), trust_env=False, timeout=GENEROUS_S
        ) as port:
            yield behind, port
        server.stop()


@pytest.fixture
def behind(opened: tuple[Behind, httpx.Client]) -> Behind:
    opened[0].requests.clear()
    opened[0].left.clear()
    return opened[0]


@pytest.fixture
def port(opened: tuple[Behind, httpx.Client]) -> httpx.Client:
    return opened[1]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/stream.html?src=omega-0"),
        ("GET", "/api/stream.mp4?src=omega-0"),
        ("PUT", "/api/streams?src=ffmpeg:x"),
        ("POST", "/api/webrtc?src=omega-0"),
        ("OPTIONS", "/api/streams"),
    ],
)
def test_pages_of_other_sites_reach_nothing_of_it(
    port: httpx.Client, behind: Behind, headers: dict[str, str], method: str, path: str
):
    refused = port.request(method, path, headers=headers)
    assert refused.status_code == 403
    assert not [name for name in refused.headers if name.startswith("access-control")]
    assert behind.requests == []


@pytest.mark.parametrize("path", ["config", "restart", "exit", "ffmpeg", "", "%63onfig"])
def test_what_could_change_or_end_it_is_never_passed_on(
    port: httpx.Client, behind: Behind, path: str
):
    for before in ("/api/", "//api/", "/%61pi/", "/www/%2e%2e/api/"):
        assert raw_request(port, f"{before}{path}") == 403
    assert behind.requests == []


def raw_request(port: httpx.Client, path: str) -> int:
    """Return the status of a POST whose path no client has tidied up."""
    request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port.base_url.port)) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(64).split()[1])


def test_its_page_and_its_owner_reach_what_they_need(port: httpx.Client, behind: Behind):
    address = str(port.base_url)
    page = port.get("/video-rtc.js", headers={"Cookie": "secret", "If-None-Match": "one"})
    assert (page.text, page.headers["etag"]) == ("video-rtc.js", "one")
    assert behind.headers["host"] == address.removeprefix("http://").rstrip("/")
    assert behind.headers["if-none-match"] == "one" and "cookie" not in behind.headers
    assert not {"access-control-allow-origin", "set-cookie"} & set(page.headers)
    own = {"Origin": address.rstrip("/"), "Content-Type": "application/sdp"}
    port.post("/api/webrtc?src=omega-0&a=%26b", content="v=0", headers=own)
    assert behind.requests[-1] == ("POST", "/api/webrtc", "src=omega-0&a=%26b", b"v=0")
    assert behind.headers["content-type"] == "application/sdp"
    port.put("/api/streams?name=a%2Fb&src=rtsp://camera")
    assert behind.requests[-1] == ("PUT", "/api/streams", "name=a%2Fb&src=rtsp://camera", b"")
    assert "cookie" not in behind.headers, "set by an answer before"


def test_an_endless_answer_is_not_buffered_and_ends_with_its_viewer(
    port: httpx.Client, behind: Behind
):
    with port.stream("GET", "/api/stream.mp4?src=omega-0") as response:
        assert response.headers["content-type"] == "video/mp4"
        chunks = response.iter_raw()
        assert next(chunks) == b"first"
        assert not behind.left.is_set()
    assert behind.left.wait(GENEROUS_S)


def test_messages_of_its_page_are_relayed_offers_included(port: httpx.Client, behind: Behind):
    address = f"ws://127.0.0.1:{port.base_url.port}/api/ws?src=omega-0"
    with connect(address, proxy=None, compression=None) as page:
        assert page.recv(GENEROUS_S) == "src=omega-0"
        page.send(OFFER)
        assert page.recv(GENEROUS_S) == OFFER.encode()
    assert behind.left.wait(GENEROUS_S)


@pytest.mark.parametrize(
    ("path", "origin"), [("/api/ws", "https://evil.example"), ("/api/config", None), ("/ws", None)]
)
def test_other_sockets_are_refused(port: httpx.Client, path: str, origin: str | None):
    address = f"ws://127.0.0.1:{port.base_url.port}{path}"
    with pytest.raises(InvalidStatus) as caught, connect(address, proxy=None, origin=origin):  # type: ignore[arg-type]
        pass
    assert caught.value.response.status_code == 403


def test_while_it_does_not_run_its_port_says_so(tmp_path: Path):
    with served(go2rtc_proxy.make_app(tmp_path / "none.sock")) as port:
        refused = port.get("/")
        assert refused.status_code == 502 and refused.headers["retry-after"] == "1"
        assert refused.json()["error"] == "go2rtc_unreachable"
        with pytest.raises(InvalidStatus, match="502"):
            connect(f"ws://127.0.0.1:{port.base_url.port}/api/ws", proxy=None)


def test_its_port_is_served_only_where_it_is_used():
    assert go2rtc_proxy.make_server(Settings()) is None


if REAL:

    @pytest.fixture
    def real(tmp_path: Path) -> Iterator[httpx.Client]:
        """The real program behind its port, as a fleet starts it."""
        settings = settings_of(tmp_path, Path(REAL))
        (child,) = go2rtc.child_specs(settings)
        # Its own name of the variable is one that settings had before.
        environment = {k: v for k, v in os.environ.items() if k != "METABONK_GO2RTC_BIN"}
        process = subprocess.Popen(child.command(), cwd=tmp_path, env=environment)
        server = go2rtc_proxy.make_server(settings)
        assert server is not None
        server.start()
        try:
            with httpx.Client(
                base_url=go2rtc.address(settings), trust_env=False, timeout=GENEROUS_S
            ) as client:
                until("go2rtc answers", lambda: client.get("/api").status_code == 200, 10)
                yield client
        finally:
            server.stop()
            process.kill()
            process.wait()

    def test_the_real_program_can_not_be_made_to_run_a_command(real: httpx.Client, tmp_path: Path):
        marker = tmp_path / "ran"
        evil = f"streams:\n  x: exec:touch {marker}\n"
        behind = httpx.HTTPTransport(uds=str(next(tmp_path.rglob("*.sock"))))
        with httpx.Client(transport=behind, base_url="http://go2rtc", timeout=GENEROUS_S) as owner:
            for client in (real, owner):
                for path in ("/api/config", "/api/restart", "/api/exit"):
                    assert client.post(path, content=evil).status_code in (403, 404, 405, 410)
                for source in (f"exec:touch {marker}", f"echo:touch {marker}", "expr:1"):
                    added = client.put("/api/streams", params={"name": "x", "src": source})
                    assert added.status_code == 400
                client.get("/api/frame.jpeg", params={"src": f"exec:touch {marker}"})
        assert not marker.exists()

    def test_the_real_program_serves_its_page_and_its_streams(real: httpx.Client):
        assert "video-stream" in real.get("/stream.html").text
        assert list(real.get("/api/streams").json()) == ["omega-0", "omega-1"]
        address = f"ws://127.0.0.1:{real.base_url.port}/api/ws?src=omega-0"
        with connect(address, proxy=None, origin=None):
            pass
