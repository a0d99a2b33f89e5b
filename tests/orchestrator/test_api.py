"""The routes over a fleet's state, without processes."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from metabonk.encoding.capacity import Capacity
from metabonk.http.app import make_http_app
from metabonk.messages import (
    Fleet,
    LearnerStatus,
    PoolStatus,
    Problem,
    SlotHolder,
    StreamState,
    WorkerStatus,
)
from metabonk.orchestrator.api import (
    MOST_BYTES,
    api_routes,
    episodes_unreadable,
    heartbeat_routes,
    tail,
)
from metabonk.orchestrator.fleet import FleetState
from metabonk.orchestrator.metrics import FleetMetrics
from metabonk.orchestrator.registry import STALE_AFTER_S
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from metabonk.settings.schema import Paths
from tests.support.serving import served
from tests.support.statuses import episode, heartbeat

POOL = PoolStatus(
    pool="nvenc",
    gpu_index=0,
    gpu_name="NVIDIA GeForce RTX 4070",
    used=1,
    limit=2,
    holders=[SlotHolder(slot=0, instance_id="omega-0", pid=7, gpu_index=0, ours=True)],
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path, clock: Clock) -> Iterator[FleetState]:
    store = EpisodeStore(tmp_path, "doom:basic")
    state = FleetState(
        Settings(workers=3, game="doom:basic", paths=Paths(logs=tmp_path)), "run-1", store, clock
    )
    state.set_capacity(Capacity(cpu=1))
    yield state
    store.close()


@pytest.fixture
def client(state: FleetState) -> Iterator[httpx.Client]:
    app = make_http_app("test")
    app.add_exception_handler(sqlite3.Error, episodes_unreadable)
    app.include_router(heartbeat_routes(state))
    app.include_router(
        api_routes(state, FleetMetrics(state, lambda: {"omega-0": 2}), lambda: [POOL])
    )
    with served(app) as client:
        yield client


def beat(client: httpx.Client, *args: object, **changed: object) -> dict[str, str]:
    body = heartbeat(*args, **changed).model_dump_json()  # type: ignore[arg-type]
    answer = client.post(
        "/api/heartbeat", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_heartbeat_is_answered_with_the_directors_wish(client: httpx.Client):
    assert beat(client, 0)["desired"] == "live"
    reply = beat(client, 1)
    assert reply["desired"] == "standby"
    assert "omega-0" in reply["reason"]
    assert beat(client, 2, stream_enabled=False)["desired"] == "standby"


def test_what_workers_say_is_listed_by_name(client: httpx.Client):
    beat(client, 1)
    beat(client, 0, step=5)
    listed = client.get("/workers").json()
    assert list(listed) == ["omega-0", "omega-1"]
    assert WorkerStatus.model_validate(listed["omega-0"]).step == 5


def test_the_fleet_shows_workers_learner_and_problems(
    client: httpx.Client, state: FleetState, clock: Clock
):
    beat(client, 0)
    learner = LearnerStatus(
        pid=1, uptime_s=1, policy_version=2, steps_trained=3, steps_per_s=4, steps_dropped=0,
        updates=5, policy_lag=0.5,
    )  # fmt: skip
    state.set_learner(learner)
    state.set_problems([Problem(message="a", action="b")])
    clock.now = STALE_AFTER_S + 1
    fleet = Fleet.model_validate(client.get("/api/fleet").json())
    assert (fleet.run, fleet.game, fleet.learner) == ("run-1", "doom:basic", learner)
    assert [problem.message[:7] for problem in fleet.problems] == ["a", "omega-0"]


def test_a_worker_whose_encoder_fails_is_a_problem(client: httpx.Client):
    beat(client, 0, stream_state="error", stream_error="the driver refused")
    beat(client, 1)
    (problem,) = Fleet.model_validate(client.get("/api/fleet").json()).problems
    assert problem.message == "omega-0 has no video: the driver refused"


def test_a_silent_or_dead_worker_frees_its_place(
    client: httpx.Client, state: FleetState, clock: Clock
):
    beat(client, 0)
    assert beat(client, 1)["desired"] == "standby"
    clock.now = STALE_AFTER_S + 1
    assert beat(client, 1)["desired"] == "live"
    assert beat(client, 0)["desired"] == "standby"
    state.died("omega-1", "omega-1 was killed by SIGKILL")
    assert beat(client, 0)["desired"] == "live"


def test_returns_are_recorded_once_and_make_the_curve(client: httpx.Client):
    for _ in range(2):
        beat(client, 0, episode(1, reward=-3.0), episode(2, reward=5.0))
    assert [e["total_reward"] for e in client.get("/api/episodes").json()] == [5.0, -3.0]
    assert len(client.get("/api/episodes?limit=1").json()) == 1
    (point,) = client.get("/api/curve?points=1").json()
    assert point == {
        "fleet_step": 20,
        "ended_at": episode(2).ended_at,
        "mean_return": 1.0,
        "episodes": 2,
    }


@pytest.mark.parametrize(
    "path", ["/api/episodes?limit=0", "/api/episodes?limit=x", "/api/curve?points=10001"]
)
def test_a_number_out_of_bounds_is_refused(client: httpx.Client, path: str):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]) == (422, "malformed")


def test_a_stranger_among_the_workers_is_refused(client: httpx.Client):
    stranger, liar, teller = (heartbeat(index).model_dump(mode="json") for index in (3, 0, 0))
    liar["status"]["instance_id"] = "omega-1"
    teller["episodes"] = [episode(1, 1).model_dump(mode="json")]
    for body, status in ((stranger, 404), (liar, 422), (teller, 422)):
        answer = client.post("/api/heartbeat", json=body)
        assert answer.status_code == status
        assert answer.json()["message"]
    assert client.get("/workers").json() == {}


@pytest.mark.parametrize("field", ["worker_index", "episode", "length", "step", "policy_version"])
@pytest.mark.parametrize("value", [-1, 2**63, 10**400])
def test_a_count_that_no_database_takes_is_refused_and_spoils_nothing(
    client: httpx.Client, field: str, value: int
):
    body = heartbeat(0, episode(1)).model_dump(mode="json")
    body["episodes"][0][field] = value
    assert client.post("/api/heartbeat", json=body).status_code == 422
    beat(client, 0, episode(2))
    assert [each["episode"] for each in client.get("/api/episodes").json()] == [2]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e31"])
def test_a_return_that_is_no_number_is_refused(client: httpx.Client, value: str):
    body = heartbeat(0, episode(1, reward=0.25)).model_dump_json().replace("0.25", value)
    headers = {"Content-Type": "application/json"}
    assert client.post("/api/heartbeat", content=body, headers=headers).status_code == 422


def test_the_metrics_are_prometheus_text_with_true_figures(client: httpx.Client):
    beat(client, 0, episode(1), stream_state=StreamState.LIVE, steps_per_s=10.5)
    beat(client, 1, steps_per_s=20.0)
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }
    assert samples["metabonk_workers", "live"] == 1
    assert samples["metabonk_workers", "standby"] == 1
    assert samples["metabonk_steps_per_second",] == 30.5
    assert samples["metabonk_episodes_total",] == 1
    assert samples["metabonk_encoder_sessions",] == 1
    assert samples["metabonk_restarts_total", "omega-0"] == 2


def test_a_database_that_cannot_be_read_is_a_503_with_a_sentence(
    client: httpx.Client, state: FleetState
):
    state.store._database.execute("DROP TABLE episodes")
    answer = client.get("/api/episodes")
    assert (answer.status_code, answer.json()["error"]) == (503, "episodes_unreadable")


def test_health_and_openapi_answer(client: httpx.Client):
    assert client.get("/healthz").text == "ok\n"
    document = client.get("/openapi.json").json()
    assert {"/workers", "/api/fleet", "/api/heartbeat", "/metrics"} <= document["paths"].keys()
    assert "ErrorBody" in document["components"]["schemas"]


def test_one_workers_episodes_and_curve(client: httpx.Client):
    beat(client, 0, episode(1, 0, reward=1.0), episode(2, 0, reward=3.0))
    beat(client, 1, episode(1, 1, reward=50.0))
    mine = client.get("/api/episodes?worker=0").json()
    assert [each["total_reward"] for each in mine] == [3.0, 1.0]
    (point,) = client.get("/api/curve?worker=1").json()
    assert point["mean_return"] == 50.0
    assert client.get("/api/curve?worker=2").json() == []
    assert len(client.get("/api/curve").json()) == 3


def test_who_is_featured_and_who_comes_next(client: httpx.Client, clock: Clock):
    for index in range(3):
        beat(client, index)
    clock.now += 2
    featured = client.get("/api/featured").json()
    assert featured == {
        "live": ["omega-0"],
        "rotate_s": 60.0,
        "next": "omega-1",
        "next_in_s": 58.0,
    }


def test_sessions_are_told(client: httpx.Client):
    assert client.get("/api/sessions").json() == [POOL.model_dump()]


def test_the_end_of_a_log_and_of_no_other_file(client: httpx.Client, tmp_path: Path):
    (tmp_path / "omega-1.log").write_text("one\ntwo\nthree\n")
    assert client.get("/api/worker/omega-1/log?lines=2").json() == {"lines": ["two", "three"]}
    assert client.get("/api/worker/omega-2/log").json() == {"lines": []}
    assert client.get("/api/worker/omega-9/log").status_code == 404
    assert client.get("/api/worker/..%2Fsecret/log").status_code == 404
    assert client.get("/api/worker/omega-1/log?lines=0").status_code == 422


def test_the_last_lines(tmp_path: Path):
    file = tmp_path / "a.log"
    file.write_text("one\ntwo\nthree\n")
    assert tail(file, 2) == ["two", "three"]
    assert tail(file, 9) == ["one", "two", "three"]


def test_a_large_log_is_not_read_whole_and_no_line_is_half(tmp_path: Path):
    file = tmp_path / "a.log"
    line = "x" * 98
    file.write_text(f"{line}\n" * (MOST_BYTES // 50))
    lines = tail(file, 10**6)
    assert set(lines) == {line}
    assert len(lines) <= MOST_BYTES // 99


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path):
    (tmp_path / "a.log").write_bytes(b"caf\xff\n")
    assert tail(tmp_path / "a.log", 5) == ["caf\ufffd"]
    assert tail(tmp_path / "b.log", 5) == []
