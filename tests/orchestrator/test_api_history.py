"""The routes over runs."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from metabonk.http.app import make_http_app
from metabonk.orchestrator.api import history_routes, no_such_run
from metabonk.runs.catalog import NoSuchRun, RunCatalog
from tests.runs.test_catalog import begin
from tests.support.serving import served
from tests.support.statuses import episode


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    app = make_http_app("test")
    app.add_exception_handler(NoSuchRun, no_such_run)
    app.include_router(history_routes(RunCatalog(tmp_path, "now")))
    store = begin(tmp_path, "now")
    store.record([episode(1, reward=1.0), episode(2, reward=7.0)])
    with served(app) as client:
        yield client
    store.close()


def test_a_run_can_be_looked_back_at(client: httpx.Client):
    (run,) = client.get("/api/runs").json()
    assert (run["run"], run["current"], run["best_return"]) == ("now", True, 7.0)
    assert len(client.get("/api/runs/now/curve").json()) == 2
    (best,) = client.get("/api/runs/now/episodes?order=best&limit=1").json()
    assert best["total_reward"] == 7.0
    assert client.get("/api/runs/now/checkpoints").json() == []


@pytest.mark.parametrize("path", ["then/curve", "..%2Fnow/curve", "then/checkpoints", ".%2e/curve"])
def test_a_run_that_does_not_exist_is_404_with_a_sentence(client: httpx.Client, path: str):
    answer = client.get(f"/api/runs/{path}")
    assert answer.status_code == 404
    assert answer.json()["message"]


@pytest.mark.parametrize("query", ["points=0", "points=99999999", "worker=-1", "worker=x"])
def test_what_makes_no_sense_is_refused(client: httpx.Client, query: str):
    assert client.get(f"/api/runs/now/curve?{query}").status_code == 422
