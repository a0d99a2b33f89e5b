"""Streams of a stand-in worker through the page's port, over real sockets."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from metabonk.http.app import make_http_app
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.gateway.workers import Gateway
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from tests.support.serving import free_ports, served


class Worker:
    """Stand-in for everything of a worker that is forwarded."""

    def __init__(self) -> None:
        self.app = FastAPI()

        @self.app.get("/status")
        def status(request: Request) -> dict[str, object]:
            return {"query": str(request.query_params), "cookie": request.headers.get("cookie")}

        @self.app.head("/stream.mp4")
        def live() -> Response:
            return Response(media_type="video/mp4")

        @self.app.head("/stream.ts")
        def refuse() -> JSONResponse:
            body = {"error": "no_encoder_session", "message": "all are in use"}
            return JSONResponse(body, 503, {"Retry-After": "5"})

        @self.app.api_route("/clip.mp4", methods=["GET", "HEAD"])
        def clip(seconds: int) -> Response:
            headers = {
                "Content-Disposition": 'attachment; filename="omega-0.mp4"',
                "X-Clip-Begins-At": "12.5",
                "X-Clip-Age": "0.040",
            }
            return Response(bytes(seconds), 200, headers, "video/mp4")

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


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def gateway(tmp_path: Path, worker: Worker) -> Iterator[SimpleNamespace]:
    """The page's port with worker 0 behind it; worker 1 is not running."""
    store = EpisodeStore(tmp_path, "doom:basic")
    (port,) = free_ports(1, spare=1)
    settings = Settings.model_validate({"ports": {"worker": port}})
    proxy = Gateway(FleetState(settings, store))
    app = make_http_app("page", lifespan=proxy.lifespan)
    app.include_router(proxy.routes())
    with served(worker.app, settings.worker_port(0)), served(app) as page:
        address = f"ws://127.0.0.1:{page.base_url.port}/api/worker/omega-0/stream"
        yield SimpleNamespace(http=page, socket=address, worker="/api/worker/omega-0")
    store.close()


def test_the_status_is_forwarded_with_its_query_and_without_cookies(gateway: SimpleNamespace):
    answer = gateway.http.get(f"{gateway.worker}/status?a=1", headers={"Cookie": "secret=1"})
    assert answer.json() == {"query": "a=1", "cookie": None}


def test_a_question_whether_there_is_a_stream_is_forwarded(gateway: SimpleNamespace):
    refused = gateway.http.head(f"{gateway.worker}/stream.ts")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert gateway.http.head(f"{gateway.worker}/stream.mp4").headers["Content-Type"] == "video/mp4"


@pytest.mark.parametrize("path", ["/worker/omega-0/clip.mp4", "/api/worker/omega-0/clip.mp4"])
def test_a_clip_keeps_its_length_and_name_and_place_in_time(gateway: SimpleNamespace, path: str):
    for answer in (gateway.http.get(f"{path}?seconds=7"), gateway.http.head(f"{path}?seconds=7")):
        assert answer.headers["Content-Length"] == "7"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="omega-0.mp4"'
        assert answer.headers["X-Clip-Begins-At"] == "12.5"
        assert answer.headers["X-Clip-Age"] == "0.040"


@pytest.mark.parametrize(
    "resource", ["status", "snapshot.jpg", "stream.mp4", "stream.ts", "clip.mp4"]
)
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
    assert gateway.http.get(f"{gateway.worker}/metrics").status_code == 404
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


def open_socket(address: str, **options: object) -> ClientConnection:
    return connect(address, proxy=None, compression=None, close_timeout=1, **options)  # type: ignore[arg-type]


def test_a_guest_is_reached_at_the_port_that_it_was_given(tmp_path: Path, worker: Worker):
    (base,) = free_ports(1, spare=4)
    settings = Settings.model_validate({"workers": 0, "ports": {"worker": base}})
    state = FleetState(settings, None)
    proxy = Gateway(state)
    app = make_http_app("page", lifespan=proxy.lifespan)
    app.include_router(proxy.routes())
    with served(app) as page:
        assert page.get("/api/worker/mine/status").status_code == 404
        member = state.roster.add_guest("mine")
        with served(worker.app, member.port):
            assert page.get("/api/worker/mine/status?a=1").json()["query"] == "a=1"
        state.remove("mine")
        assert page.get("/api/worker/mine/status").status_code == 404
