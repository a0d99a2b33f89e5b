import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from metabonk.http.app import make_http_app
from metabonk.orchestrator.page import Page
from tests.support.serving import served

SOURCE = Path(__file__).parents[2] / "web" / "index.html"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<title>MetaBonk</title>")
    (folder / "assets" / "index-abc.js").write_text("let x;")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / ".sources").write_text("digest")
    (tmp_path / "secret").write_text("secret")
    return folder


@pytest.fixture
def client(folder: Path) -> Iterator[httpx.Client]:
    app = make_http_app("test")
    app.router.default = Page(folder)
    with served(app) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/stream?worker=omega-0", "/neural/broadcast", "/runs"])
def test_every_page_of_the_application_is_its_index_and_is_revalidated(
    client: httpx.Client, path: str
):
    answer = client.get(path)
    assert answer.status_code == 200
    assert "MetaBonk" in answer.text
    assert answer.headers["Cache-Control"] == "no-cache"
    assert client.head(path).status_code == 200


def test_assets_are_cached_for_ever_and_other_files_are_revalidated(client: httpx.Client):
    asset = client.get("/assets/index-abc.js")
    assert asset.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert asset.headers["Content-Type"].startswith("text/javascript")
    assert client.get("/favicon.svg").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["/assets/gone.js", "/api/none", "/api"])
def test_missing_assets_and_api_paths_are_not_answered_with_the_page(
    client: httpx.Client, path: str
):
    assert client.get(path).status_code == 404
    assert client.get(path).json()["error"] == "not_found"


@pytest.mark.parametrize(
    "path", ["/.sources", "/../secret", "/%2e%2e/secret", "/assets/%2e%2e%2f.."]
)
def test_no_other_file_can_be_read(client: httpx.Client, path: str):
    answer = client.get(path)
    assert "secret" not in answer.text
    assert "digest" not in answer.text


def test_the_page_contains_what_it_shows_first(folder: Path):
    shutil.copy(SOURCE, folder / "index.html")
    app = make_http_app("test")
    app.router.default = Page(folder, opening=lambda: '{"fleet": 1}')
    with served(app) as client:
        page = client.get("/neural/broadcast").text
    assert '<script type="application/json" id="opening">{"fleet": 1}</script>' in page


def test_other_methods_are_refused(client: httpx.Client):
    answer = client.post("/")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_page_under_a_prefix_finds_its_files(folder: Path):
    shutil.copy(SOURCE, folder / "index.html")
    app = make_http_app("test", public_url="http://localhost/fleet")
    app.router.default = Page(folder, prefix="/fleet")
    with served(app) as client:
        # A proxy may remove the prefix or not.
        for path in ("/fleet", "/fleet/", "/fleet/neural/broadcast", "/neural/broadcast"):
            page = client.get(path)
            assert page.status_code == 200 and page.headers["Cache-Control"] == "no-cache"
            assert 'src="/fleet/src/main.ts"' in page.text
            assert 'href="/fleet/favicon.svg"' in page.text
            assert 'name="base-path" content="/fleet"' in page.text
        assert client.get("/fleet/assets/index-abc.js").text == "let x;"


def test_there_is_no_websocket(client: httpx.Client):
    address = f"ws://127.0.0.1:{client.base_url.port}/stream"
    with pytest.raises(InvalidStatus, match="403"), connect(address, proxy=None):
        pass


def test_a_page_that_is_not_built_is_a_503_with_the_remedy(client: httpx.Client, folder: Path):
    shutil.rmtree(folder)
    answer = client.get("/")
    assert answer.status_code == 503
    assert "./start builds it" in answer.json()["message"]
