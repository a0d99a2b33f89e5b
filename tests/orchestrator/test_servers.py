"""The servers of the orchestrator."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response

from metabonk.encoding.sessions import open_pools
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.replays.service import make_replays
from metabonk.orchestrator.servers import make_apps
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from tests.support.serving import served

VIDEO = bytes(10_000)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[httpx.Client]:
    settings = Settings.model_validate(
        {"nvenc": {"slot_dir": tmp_path}, "paths": {"runs": tmp_path, "logs": tmp_path}}
    )
    store = EpisodeStore(tmp_path, settings.game)
    _, app = make_apps(
        FleetState(settings, store), dict, open_pools(settings), make_replays(settings), None
    )
    app.add_api_route("/video", lambda: Response(VIDEO, media_type="video/mp4"))
    with served(app) as client:
        yield client
    store.close()


def test_text_is_compressed_for_those_who_take_it(page: httpx.Client):
    plain = page.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    packed = page.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 4


def test_video_passes_as_it_is(page: httpx.Client):
    video = page.get("/video", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in video.headers
    assert video.content == VIDEO
