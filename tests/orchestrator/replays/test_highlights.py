"""``metabonk.orchestrator.replays.highlights``: the video of a run's best live episode."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from metabonk.http.app import make_http_app
from metabonk.messages.replays import Highlight
from metabonk.orchestrator.api import no_such_run
from metabonk.orchestrator.replays.highlights import highlight_routes
from metabonk.runs.catalog import NoSuchRun, RunCatalog
from metabonk.runs.highlight import keep_highlight
from metabonk.runs.layout import SETTINGS_FILE
from tests.support.serving import served

VIDEO = bytes(range(256)) * 400


@pytest.fixture
def api(tmp_path: Path) -> Iterator[httpx.Client]:
    for name in ("shown", "unseen"):
        (tmp_path / name).mkdir()
        (tmp_path / name / SETTINGS_FILE).write_text("{}")
    app = make_http_app("page")
    app.add_exception_handler(NoSuchRun, no_such_run)
    app.include_router(highlight_routes(RunCatalog(tmp_path)))
    with served(app) as client:
        yield client


@pytest.fixture
def kept(tmp_path: Path, api: httpx.Client) -> Highlight:
    highlight = Highlight(
        worker_index=2,
        episode=41,
        total_reward=93.5,
        ended_at=1e9,
        duration=12.5,
        bytes=len(VIDEO),
        whole=True,
    )
    return keep_highlight(tmp_path / "shown", highlight, [VIDEO])


def test_the_video_is_described_and_served_in_any_part(api: httpx.Client, kept: Highlight):
    described = api.get("/api/runs/shown/highlight")
    assert Highlight.model_validate(described.json()) == kept
    whole = api.get("/api/runs/shown/highlight.mp4")
    assert whole.content == VIDEO and whole.headers["content-type"] == "video/mp4"
    assert 'inline; filename="shown-omega-2-episode-41.mp4"' in whole.headers["content-disposition"]
    part = api.get("/api/runs/shown/highlight.mp4", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, VIDEO[1000:2000])
    head = api.head("/api/runs/shown/highlight.mp4")
    assert head.headers["content-length"] == str(len(VIDEO)) and head.content == b""


def test_a_run_without_one_and_a_run_that_is_none_say_so(api: httpx.Client):
    assert api.get("/api/runs/unseen/highlight").json() is None
    for path, error in (
        ("unseen/highlight.mp4", "no_highlight"),
        ("x/highlight.mp4", "no_such_run"),
        ("x/highlight", "no_such_run"),
        ("%2e%2e/highlight", "no_such_run"),
    ):
        answer = api.get(f"/api/runs/{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, error), path
