"""``metabonk.orchestrator.run_routes``: learning, settings, notes and deletion of runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from metabonk.http.app import make_http_app
from metabonk.learner.stats import TensorBoardWriter
from metabonk.orchestrator.api import no_such_run
from metabonk.orchestrator.run_routes import learning_routes
from metabonk.runs.catalog import NoSuchRun, RunCatalog
from metabonk.runs.layout import SETTINGS_FILE
from metabonk.runs.notes import read_notes
from metabonk.runs.pruning import hold_run
from tests.support.serving import served

NOTES = {"title": "larger net", "note": "slower", "tags": ["sweep"], "archived": True}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "first"
    run.mkdir()
    settings = {"game": "doom:basic", "learning": {"gamma": 0.99, "mlp_layers": [64, 32]}}
    (run / SETTINGS_FILE).write_text(json.dumps(settings))
    return run


@pytest.fixture
def api(run: Path) -> Iterator[httpx.Client]:
    app = make_http_app("page")
    app.add_exception_handler(NoSuchRun, no_such_run)
    app.include_router(learning_routes(RunCatalog(run.parent), may_delete=True))
    with served(app) as client:
        yield client


def test_learning_comes_from_the_runs_own_record(api: httpx.Client, run: Path):
    writer = TensorBoardWriter(run)
    writer.add({"update/entropy": 0.5}, 1024)
    writer.close()
    curves = api.get("/api/runs/first/learning?points=10").json()
    assert (curves["steps"], curves["values"]) == ([1024], {"update/entropy": [0.5]})


def test_settings_are_listed_by_their_full_names(api: httpx.Client):
    assert api.get("/api/runs/first/settings").json() == {
        "game": "doom:basic",
        "learning.gamma": "0.99",
        "learning.mlp_layers": "64, 32",
    }


def test_notes_are_kept_with_the_run(api: httpx.Client, run: Path):
    assert api.put("/api/runs/first/notes", json=NOTES).json() == NOTES
    assert read_notes(run).model_dump() == NOTES
    too_many = {"tags": ["x"] * 21}
    assert api.put("/api/runs/first/notes", json=too_many).status_code == 422


def test_a_run_that_is_deleted_is_gone(api: httpx.Client, run: Path):
    assert api.delete("/api/runs/first").status_code == 204
    assert not run.exists()
    assert api.get("/api/runs/first/settings").status_code == 404


def test_a_run_in_use_is_not_deleted(api: httpx.Client, run: Path):
    with hold_run(run):
        refused = api.delete("/api/runs/first")
    assert (refused.status_code, "in use" in refused.json()["message"]) == (409, True)
    assert run.exists()


def test_viewers_on_other_machines_delete_nothing(run: Path):
    app = make_http_app("page")
    app.include_router(learning_routes(RunCatalog(run.parent), may_delete=False))
    with served(app) as client:
        refused = client.delete("/api/runs/first")
    assert refused.status_code == 403
    assert run.exists()


@pytest.mark.parametrize("name", ["..", "%2e%2e", "second"])
def test_only_runs_can_be_named(api: httpx.Client, name: str):
    assert api.delete(f"/api/runs/{name}").status_code in (404, 405)
