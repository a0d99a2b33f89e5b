"""The page behind a real nginx, configured as docs/remote.md says and as people do."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from metabonk.encoding.sessions import open_pools
from metabonk.messages.streams import PolicyMessage
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.replays.service import make_replays
from metabonk.orchestrator.servers import make_apps
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from metabonk.streaming.hub import Hub
from metabonk.streaming.websocket import websocket_routes
from tests.support.nginx import documented_location, nginx
from tests.support.serving import free_port, served
from tests.support.waiting import GENEROUS_S

TOKEN = "a-token-that-nobody-guesses"
POLICY = PolicyMessage(actions=["wait", "go"])
NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Dest": "document"}


def passing_host(variable: str) -> str:
    return documented_location().replace("$http_host", variable).replace("/metabonk/", "/")


class Site(NamedTuple):
    """The page through nginx, as a browser at ``origin`` sees it."""

    client: httpx.Client
    origin: str
    path: str

    def opens_a_stream(self, cookie: str = "", *, origin: str | None = None) -> bool:
        """Open the worker's WebSocket as a page does; False if it is refused as a foreign one."""
        address = f"{self.origin}{self.path}/api/worker/omega-0/stream".replace("http", "ws", 1)
        try:
            with connect(
                address,
                proxy=None,
                sock=socket.create_connection(("127.0.0.1", self.client.base_url.port)),
                additional_headers={"Cookie": cookie, "Origin": origin or self.origin},
            ) as stream:
                return stream.recv(timeout=GENEROUS_S) == POLICY.model_dump_json()
        except InvalidStatus as error:
            assert error.response.status_code == 403
            return False


OpenSite = Callable[..., Site]


@pytest.fixture(scope="module")
def worker() -> Iterator[int]:
    """Port of a stand-in for worker 0."""
    app = FastAPI()

    app.include_router(websocket_routes(Hub(), POLICY))

    @app.post("/whep")
    def offer() -> Response:
        return Response(status_code=201, headers={"Location": "/whep/one?worker=omega-0"})

    with served(app) as client:
        yield client.base_url.port or 0


@pytest.fixture
def open_site(tmp_path: Path, worker: int) -> Iterator[OpenSite]:
    with ExitStack() as stack:

        def open_site(location: str, name: str, path: str = "", *, declared: bool = True) -> Site:
            port = free_port()
            origin = f"http://{name}:{port}"
            settings = Settings.model_validate(
                {
                    "public_url": origin + path if declared else None,
                    "ports": {"worker": worker},
                    "nvenc": {"slot_dir": tmp_path},
                    "paths": {"runs": tmp_path, "logs": tmp_path},
                }
            )
            store = EpisodeStore(tmp_path, "doom:basic")
            stack.callback(store.close)
            token = None if name == "localhost" else TOKEN
            _, app = make_apps(
                FleetState(settings, store),
                dict,
                open_pools(settings),
                make_replays(settings),
                token,
            )
            page = stack.enter_context(served(app)).base_url.port or 0
            stack.enter_context(nginx(location, page, port, tmp_path))
            client = httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Host": f"{name}:{port}"},
                trust_env=False,
            )
            return Site(stack.enter_context(client), origin, path)

        yield open_site


def remember(site: Site, path: str) -> str:
    """Open the page with the token, and return the cookie."""
    first = site.client.get(f"{path}?token={TOKEN}", headers=NAVIGATION)
    assert (first.status_code, first.headers["Location"]) == (303, path)
    return str(first.headers["Set-Cookie"]).partition(";")[0]


@pytest.mark.parametrize("upstream", [":5173;", ":5173/;"])
def test_a_prefix_works_whether_nginx_removes_it_or_not(open_site: OpenSite, upstream: str):
    location = documented_location().replace(":5173;", upstream)
    site = open_site(location, "example.org", "/metabonk")
    cookie = remember(site, "/metabonk/runs")
    known = {"Cookie": cookie, "Origin": site.origin}
    assert site.client.get("/metabonk/api/fleet", headers=known).status_code == 200
    offered = site.client.post("/metabonk/whep?worker=omega-0", headers=known, content="v=0")
    assert offered.headers["Location"] == "/metabonk/whep/one?worker=omega-0"
    assert site.opens_a_stream(cookie)
    assert not site.opens_a_stream(cookie, origin="http://evil.example")


@pytest.mark.parametrize("variable", ["$host", "$proxy_host", "$http_host"])
def test_whatever_host_nginx_passes_on_a_declared_address_works(open_site: OpenSite, variable: str):
    site = open_site(passing_host(variable), "example.org")
    assert site.opens_a_stream(remember(site, "/"))


def test_an_undeclared_proxy_that_drops_the_port_is_refused_with_what_to_do(open_site: OpenSite):
    site = open_site(passing_host("$host"), "example.org", declared=False)
    known = {"Cookie": remember(site, "/"), "Origin": site.origin}
    # As the page asks before it shows anything.
    refused = site.client.options("/api/fleet", headers=known)
    assert refused.status_code == 403
    assert site.origin in refused.json()["message"] and "--public-url" in refused.json()["message"]


def test_an_undeclared_proxy_in_front_of_loopback_is_refused_with_what_to_do(open_site: OpenSite):
    site = open_site(passing_host("$host"), "localhost", declared=False)
    assert site.opens_a_stream()
    by_name = site.client.get("/", headers={**NAVIGATION, "Host": "fleet.example"})
    assert by_name.status_code == 403 and "--public-url" in by_name.json()["message"]


def test_every_method_of_a_path_is_named(open_site: OpenSite):
    site = open_site(passing_host("$http_host"), "localhost", declared=False)
    for path, allowed in {
        "/api/fleet": "GET, OPTIONS",
        "/api/worker/omega-0/log": "GET, OPTIONS",
        "/api/worker/omega-0/stream.mp4": "GET, HEAD, OPTIONS",
        "/": "GET, HEAD, OPTIONS",
    }.items():
        answer = site.client.options(path)
        assert (answer.status_code, answer.headers["Allow"]) == (204, allowed), path
