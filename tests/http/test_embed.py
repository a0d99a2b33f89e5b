"""``metabonk.http.embed``: tiles on the page's port, with and without a token."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from metabonk.encoding.sessions import open_pools
from metabonk.http.embed import embed_key
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.page import Page
from metabonk.orchestrator.servers import make_apps
from metabonk.settings import Settings
from tests.support.serving import served

TOKEN = "a-token-that-nobody-guesses"
ORIGINS = ["https://example.org", "http://localhost:8000"]
FRAME = {
    "Accept": "text/html",
    "Sec-Fetch-Dest": "iframe",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "cross-site",
}
TILE = {"worker": "omega-0"}
KEY = embed_key(TOKEN, "omega-0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "assets").mkdir()
    (folder / "assets" / "embed.js").write_text("let x;")
    for name in ("index", "embed"):
        (folder / f"{name}.html").write_text(f"<title>{name}</title>")
    return folder


@pytest.fixture(scope="module", params=["loopback", "remote"])
def token(request: pytest.FixtureRequest) -> str | None:
    return TOKEN if request.param == "remote" else None


@pytest.fixture(scope="module")
def client(folder: Path, token: str | None) -> Iterator[httpx.Client]:
    yield from _serve(folder, token, ORIGINS)


def _serve(folder: Path, token: str | None, origins: list[str]) -> Iterator[httpx.Client]:
    settings = Settings.model_validate(
        {
            "host": "127.0.0.1" if token is None else "0.0.0.0",
            "ports": {"worker": 19_000},
            "nvenc": {"slot_dir": folder / "slots"},
            "embed": {"origins": origins},
        }
    )
    _, app = make_apps(FleetState(settings, None), dict, open_pools(settings), None, token)
    app.router.default = Page(folder)
    with served(app) as client:
        yield client


def tile(token: str | None) -> dict[str, str]:
    return TILE if token is None else {**TILE, "key": KEY}


def test_a_tile_may_be_framed_by_the_origins_of_the_settings(
    client: httpx.Client, token: str | None
):
    answer = client.get("/embed", params=tile(token), headers=FRAME)
    assert (answer.status_code, answer.text) == (200, "<title>embed</title>")
    assert answer.headers["Content-Security-Policy"] == (
        "frame-ancestors https://example.org http://localhost:8000"
    )
    assert "X-Frame-Options" not in answer.headers


def test_nothing_else_is_shown_in_a_frame(client: httpx.Client, token: str | None):
    for path in ("/", "/stream", "/embed/", "/api/fleet", "/embedded"):
        assert client.get(path, params=tile(token), headers=FRAME).status_code == 403, path
        if token is not None:
            own = client.get(path, headers={"Authorization": f"Bearer {token}"})
            assert own.headers["X-Frame-Options"] == "DENY", path


def test_another_page_can_neither_read_a_tile_nor_open_its_stream(
    client: httpx.Client, token: str | None
):
    foreign = {"Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"}
    read = client.get("/embed", params=tile(token), headers=foreign)
    assert read.status_code == 403
    with pytest.raises(InvalidStatus, match="403"):
        open_stream(client, tile(token), {"Origin": "https://example.org"})


@pytest.mark.parametrize("token", ["remote"], indirect=True)
def test_the_key_opens_its_tile_and_nothing_more(client: httpx.Client):
    # 502: it passed, but no worker runs.
    with pytest.raises(InvalidStatus, match="502"):
        open_stream(client, {**TILE, "key": KEY})
    assert client.get("/assets/embed.js").status_code == 200
    for path in ("/", "/workers", "/api/fleet", "/api/worker/omega-0/stream.mp4", "/api/embed"):
        assert client.get(path, params={**TILE, "key": KEY}).status_code == 401, path
    assert client.put("/api/program/pin", params={"key": KEY}, json={}).status_code == 401
    for worker, key in (("omega-1", KEY), ("omega-0", ""), ("omega-0", KEY[:-1]), ("", KEY)):
        query = {"worker": worker, "key": key}
        assert client.get("/embed", params=query).status_code == 401
        with pytest.raises(InvalidStatus, match="401"):
            open_stream(client, query)


def test_the_page_is_told_the_tiles_address(client: httpx.Client, token: str | None):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    link = client.get("/api/embed", params=TILE, headers=headers).json()
    assert link["origins"] == ORIGINS
    key = "" if token is None else f"&key={KEY}"
    assert link["path"] == f"/embed?worker=omega-0{key}"
    assert client.get(link["path"], headers=FRAME).status_code == 200


def test_without_origins_there_is_no_tile(folder: Path, token: str | None):
    for client in _serve(folder, token, []):
        assert client.get("/embed", params=tile(token), headers=FRAME).status_code == 403
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        assert client.get("/api/embed", params=TILE, headers=headers).json()["path"] is None
        own = client.get("/embed", params=tile(None), headers=headers)
        assert own.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
        if token is not None:
            assert client.get("/assets/embed.js").status_code == 401
            with pytest.raises(InvalidStatus, match="401"):
                open_stream(client, tile(token))


def open_stream(
    client: httpx.Client, query: dict[str, str], headers: dict[str, str] | None = None
) -> None:
    address = f"ws://127.0.0.1:{client.base_url.port}/embed/stream?{httpx.QueryParams(query)}"
    connect(address, proxy=None, additional_headers=headers or {}).close()
