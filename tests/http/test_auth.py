"""``metabonk.http.auth``: the page that other machines reach."""

import logging
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from metabonk.encoding.sessions import open_pools
from metabonk.http.app import make_http_app
from metabonk.http.auth import cookie_value
from metabonk.http.server import HttpServer
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.program import routes as program
from metabonk.orchestrator.replays.service import make_replays
from metabonk.orchestrator.servers import make_apps
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from tests.support.serving import free_port, served
from tests.support.waiting import GENEROUS_S

TOKEN = "a-token-that-nobody-guesses"
NAVIGATION = {"Accept": "text/html,*/*", "Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def page(served_page: httpx.Client) -> httpx.Client:
    served_page.cookies.clear()
    return served_page


@pytest.fixture(scope="module")
def served_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    store = EpisodeStore(tmp_path_factory.mktemp("run"), "doom:basic")
    folder = tmp_path_factory.mktemp("fleet")
    settings = Settings.model_validate(
        {
            "host": "0.0.0.0",
            "ports": {"worker": 19_000},
            "nvenc": {"slot_dir": folder},
            "paths": {"runs": folder, "logs": folder},
        }
    )
    _, app = make_apps(
        FleetState(settings, store), dict, open_pools(settings), make_replays(settings), TOKEN
    )
    with pytest.MonkeyPatch.context() as patch, served(app) as client:
        # No program will start.
        patch.setattr(program, "START_TIMEOUT_S", 0.1)
        yield client
    store.close()


def routes(client: httpx.Client) -> list[tuple[str, str]]:
    """Return every method and path of the page's OpenAPI document, and some that are in none."""
    document = client.get("/openapi.json", headers=bearer()).json()
    found = [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in document["paths"].items()
        for method in methods
    ]
    assert len(found) > 10
    more = ["/", "/stream", "/assets/x.js", "/favicon.svg", "/openapi.json", "/nothing", "//x"]
    return [*found, *(("GET", path) for path in more), ("OPTIONS", "/"), ("TRACE", "/")]


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie(client: httpx.Client, value: str | None = None) -> dict[str, str]:
    port = client.base_url.port or 0
    return {"Cookie": f"metabonk-{port}={value or cookie_value(TOKEN, port)}"}


def socket(client: httpx.Client, query: str = "", **headers: str) -> ClientConnection:
    address = f"ws://127.0.0.1:{client.base_url.port}/api/worker/omega-0/stream{query}"
    return connect(address, proxy=None, additional_headers=headers)


def test_no_route_is_served_without_the_token(page: httpx.Client):
    wrong = ["", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é"]
    for method, path in routes(page):
        for headers in ({}, bearer("x"), cookie(page, "x"), {"Cookie": f"metabonk={TOKEN}"}):
            answer = page.request(method, path, headers=headers)
            assert answer.status_code == 401, f"{method} {path} {headers}"
            if method != "HEAD":
                assert answer.json()["error"] == "token_required"
    for token in wrong:
        assert page.get("/workers", params={"token": token}).status_code == 401
        raw = {"Authorization": b"Bearer" + f" {token}".rstrip().encode()}
        assert page.get("/workers", headers=raw).status_code == 401


def test_no_socket_opens_without_the_token(page: httpx.Client):
    for query, headers in (("", {}), ("?token=x", {}), ("", cookie(page, "x"))):
        with pytest.raises(InvalidStatus, match="401"), socket(page, query, **headers):
            pass


def test_every_route_is_served_with_the_token(page: httpx.Client):
    # Runs are deleted on the machine itself, with or without the token.
    for method, path in {*routes(page)} - {("DELETE", "/api/runs/run")}:
        for headers in (bearer(), cookie(page)):
            # Not read: some responses are endless.
            with page.stream(method, path, headers=headers) as answer:
                assert answer.status_code not in (401, 403), f"{method} {path}"
    for query, headers in ((f"?token={TOKEN}", {}), ("", cookie(page)), ("", bearer())):
        # 502: it passed, but worker omega-0 doesn't run.
        with pytest.raises(InvalidStatus, match="502"), socket(page, query, **headers):
            pass


def test_a_navigation_with_the_token_is_redirected_without_it_and_remembered(page: httpx.Client):
    with httpx.Client(base_url=page.base_url, trust_env=False, timeout=GENEROUS_S) as browser:
        first = browser.get(f"/stream?worker=omega-0&token={TOKEN}&x=%20", headers=NAVIGATION)
        assert (first.status_code, first.headers["Location"]) == (303, "/stream?worker=omega-0&x=+")
        kept = first.headers["Set-Cookie"].lower()
        assert "httponly" in kept and "samesite=strict" in kept and "path=/" in kept
        assert first.headers["Referrer-Policy"] == "no-referrer"
        assert first.headers["Cache-Control"] == "no-store"
        assert browser.get("/workers").status_code == 200


def test_another_server_of_the_host_name_learns_no_token_from_the_cookie(page: httpx.Client):
    with httpx.Client(base_url=page.base_url, trust_env=False, timeout=GENEROUS_S) as browser:
        browser.get(f"/?token={TOKEN}", headers=NAVIGATION)
        (kept,) = browser.cookies.jar
    assert kept.value and TOKEN not in kept.value
    for stolen in (bearer(kept.value), {"Cookie": f"metabonk-1={kept.value}"}):
        assert page.get("/workers", headers=stolen).status_code == 401
    assert page.get("/workers", params={"token": kept.value}).status_code == 401


@pytest.mark.parametrize("public", [None, "http://example.org", "https://example.org"])
def test_the_cookie_of_a_page_behind_tls_is_sent_over_tls_only(public: str | None):
    app = make_http_app("test", token=TOKEN, public_url=public)
    with served(app) as client:
        answer = client.get(f"/?token={TOKEN}", headers=NAVIGATION)
    assert ("; secure" in answer.headers["Set-Cookie"].lower()) == (public == "https://example.org")


def test_an_ipv6_address_remembers_browsers_and_knows_its_origin():
    port = free_port()
    server = HttpServer(make_http_app("test", token=TOKEN), "::1", port)
    server.start()
    try:
        with httpx.Client(
            base_url=f"http://[::1]:{port}", trust_env=False, timeout=GENEROUS_S
        ) as browser:
            browser.get(f"/?token={TOKEN}", headers=NAVIGATION)
            for origin, status in (
                (f"http://[::1]:{port}", 200),
                (f"http://[::1]:{port + 1}", 403),
            ):
                answer = browser.get("/openapi.json", headers={"Origin": origin})
                assert answer.status_code == status
    finally:
        server.stop()


def test_a_cookie_is_void_for_another_port_or_token_and_the_token_is_no_cookie(
    page: httpx.Client,
):
    port = page.base_url.port or 0
    for value in (TOKEN, cookie_value(TOKEN, port + 1), cookie_value(f"{TOKEN}2", port)):
        assert page.get("/workers", headers=cookie(page, value)).status_code == 401


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "/%2F%2Fevil.example"])
def test_no_redirect_leads_to_another_machine(page: httpx.Client, path: str):
    url = f"http://127.0.0.1:{page.base_url.port}{path}?token={TOKEN}"
    answer = page.send(httpx.Request("GET", url, headers=NAVIGATION))
    assert answer.status_code == 303
    location = answer.headers["Location"]
    assert location.startswith("/") and location[1] not in "/\\"


def test_a_player_that_accepts_nothing_but_an_address_is_not_redirected(page: httpx.Client):
    assert page.get(f"/workers?token={TOKEN}").status_code == 200
    assert page.get(f"/api/worker/omega-0/stream.ts?token={TOKEN}").status_code == 502


def test_a_visitor_without_the_token_is_told_what_to_do(page: httpx.Client):
    answer = page.get("/stream?worker=omega-0", headers=NAVIGATION)
    assert answer.status_code == 401
    assert "metabonk start" in answer.text and "href='?'" in answer.text
    sneaky = page.get("/'><script>alert(1)</script>", headers=NAVIGATION)
    assert "<script>" not in sneaky.text


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "null", "http://["]
)
def test_a_page_of_another_origin_can_neither_read_nor_change_anything(
    page: httpx.Client, origin: str
):
    known = cookie(page) | {"Origin": origin}
    assert page.get("/workers", headers=known).status_code == 403
    assert page.post("/whep?worker=omega-0", headers=known, content="v=0").status_code == 403
    assert page.post("/api/heartbeat", headers=known, json={}).status_code == 403
    with pytest.raises(InvalidStatus, match="403"), socket(page, **known):
        pass


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_cannot_embed_images_videos_or_frames(page: httpx.Client, site: str):
    for dest in ("image", "video", "script", "iframe", "empty"):
        headers = cookie(page) | {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": dest}
        assert page.get("/api/worker/omega-0/snapshot.jpg", headers=headers).status_code == 403
    link = cookie(page) | {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "document"}
    assert page.get("/", headers=link).status_code not in (401, 403)


def test_our_own_page_may_do_all_of_that(page: httpx.Client):
    own = cookie(page) | {
        "Origin": f"http://127.0.0.1:{page.base_url.port}",
        "Sec-Fetch-Site": "same-origin",
    }
    answer = page.get("/workers", headers=own)
    assert answer.status_code == 200
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert page.post("/whep?worker=omega-0", headers=own, content="v=0").status_code == 502


def test_no_log_has_the_token(page: httpx.Client, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        page.get(f"/api/worker/omega-0/stream.ts?token={TOKEN}")
        page.get("/workers", headers=cookie(page))
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "httpcore"))]
    behind = [r.getMessage() for r in caplog.records if "19000" in r.getMessage()]
    assert not [line for line in ours + behind if TOKEN in line]
