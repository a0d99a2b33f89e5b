"""The routes over a fleet's state, its runs and its events, without processes."""

import contextlib
import json
import logging
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from metabonk.encoding.capacity import Capacity
from metabonk.http.app import make_http_app
from metabonk.http.metrics import metrics_routes
from metabonk.messages.base import Problem
from metabonk.messages.fleet import Fleet
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.runs import CurvePoint
from metabonk.messages.sessions import PoolStatus, SlotHolder
from metabonk.messages.workers import (
    MAX_EPISODE_LOG_BYTES,
    Counters,
    Heartbeat,
    StreamState,
    WorkerStatus,
)
from metabonk.orchestrator.api import (
    MAX_LOG_BYTES,
    episodes_unreadable,
    fleet_routes,
    heartbeat_routes,
    no_such_episode,
    no_such_run,
    run_routes,
)
from metabonk.orchestrator.event_routes import event_routes
from metabonk.orchestrator.feed import Feed
from metabonk.orchestrator.fleet.registry import STALE_AFTER_S
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.metrics import FleetMetrics
from metabonk.runs.catalog import NoSuchEpisode, NoSuchRun, RunCatalog
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import save_settings
from metabonk.settings import Settings
from metabonk.settings.schema import Paths
from metabonk.system.log_files import rotate
from tests.support.clock import Clock
from tests.support.earlier_runs import write_episodes
from tests.support.serving import served
from tests.support.statuses import episode, guest_status, heartbeat

POOL = PoolStatus(
    pool="nvenc",
    gpu_index=0,
    gpu_name="NVIDIA GeForce RTX 4070",
    used=1,
    limit=2,
    holders=[SlotHolder(slot=0, instance_id="omega-0", pid=7, gpu_index=0, ours=True)],
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path, clock: Clock) -> Iterator[FleetState]:
    settings = Settings(
        workers=3, game="doom:basic", paths=Paths(logs=tmp_path, runs=tmp_path / "runs")
    )
    run_dir = settings.paths.runs / "now"
    run_dir.mkdir(parents=True)
    save_settings(settings, run_dir)
    store = EpisodeStore(run_dir, "doom:basic", max_log_bytes=100_000)
    state = FleetState(settings, store, clock)
    state.set_capacity(Capacity(cpu=1))
    yield state
    store.close()


@pytest.fixture
def client(state: FleetState) -> Iterator[httpx.Client]:
    app = make_http_app("test")
    app.add_exception_handler(sqlite3.Error, episodes_unreadable)
    app.add_exception_handler(NoSuchRun, no_such_run)
    app.add_exception_handler(NoSuchEpisode, no_such_episode)
    for router in (
        heartbeat_routes(state),
        fleet_routes(state, lambda: [POOL]),
        run_routes(RunCatalog(state.settings.paths.runs, state.store)),
        event_routes(state.events, Feed(state)),
        metrics_routes(FleetMetrics(state, lambda: {"omega-0": 2})),
    ):
        app.include_router(router)
    with served(app) as client:
        yield client


def beat(client: httpx.Client, *args: object, **changed: object) -> dict[str, str]:
    body = heartbeat(*args, **changed).model_dump_json()  # type: ignore[arg-type]
    answer = client.post(
        "/api/heartbeat", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_heartbeat_is_answered_with_the_desired_state(client: httpx.Client):
    assert beat(client, 0)["desired"] == "live"
    reply = beat(client, 1)
    assert reply["desired"] == "standby"
    assert "omega-0" in reply["reason"]
    assert beat(client, 2, stream_enabled=False)["desired"] == "standby"


def test_heartbeats_do_not_wait_for_viewers_of_runs(
    client: httpx.Client, state: FleetState, monkeypatch: pytest.MonkeyPatch
):
    """As many viewers ask as a server's pool has threads, and none is answered."""
    asked, answers = threading.Event(), threading.Event()

    def curve(*arguments: object, **options: object) -> list[CurvePoint]:
        asked.set()
        assert answers.wait(20)
        return []

    monkeypatch.setattr(RunCatalog, "curve", curve)
    request = f"GET /api/curve HTTP/1.1\r\nHost: {client.base_url.netloc.decode()}\r\n\r\n"
    with contextlib.ExitStack() as viewers:
        viewers.callback(answers.set)
        for _ in range(50):
            viewer = socket.create_connection((client.base_url.host, client.base_url.port))
            viewers.enter_context(viewer).sendall(request.encode())
        assert asked.wait(10)
        assert beat(client, 0)["desired"] == "live"


def test_a_long_run_of_an_earlier_version_is_answered_from_threads_of_its_own(
    client: httpx.Client, state: FleetState, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("metabonk.runs.catalog.QUICK_ROWS", 100)
    folder = state.settings.paths.runs / "earlier"
    folder.mkdir()
    save_settings(state.settings, folder)
    write_episodes(folder, 1000)
    points = client.get("/api/runs/earlier/curve?points=10").json()
    assert sum(point["episodes"] for point in points) == 1000
    (best,) = client.get("/api/runs/earlier/episodes?order=best&limit=1").json()
    assert best["total_reward"] > 90
    assert [run["episodes"] for run in client.get("/api/runs").json()] == [0, 1000]


def test_workers_are_listed_by_name(client: httpx.Client):
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
        waiting=0.1,
    )  # fmt: skip
    state.set_learner(learner)
    state.set_problems([Problem(message="a", action="b")])
    clock.now = STALE_AFTER_S + 1
    fleet = Fleet.model_validate(client.get("/api/fleet").json())
    assert (fleet.run, fleet.game, fleet.learner) == ("now", "doom:basic", learner)
    assert [problem.message[:7] for problem in fleet.problems] == ["a", "omega-0"]


def test_a_worker_whose_encoder_fails_is_a_problem(client: httpx.Client):
    beat(client, 0, stream_state="error", stream_error="the driver refused")
    beat(client, 1)
    (problem,) = Fleet.model_validate(client.get("/api/fleet").json()).problems
    assert problem.message.startswith("omega-0 has no ")
    assert problem.message.endswith(": the driver refused")


def test_a_checkpoint_that_was_not_written_is_a_problem(client: httpx.Client, state: FleetState):
    state.set_learner(
        LearnerStatus(
            pid=1, uptime_s=1, policy_version=2, steps_trained=3, steps_per_s=4, steps_dropped=0,
            updates=5, policy_lag=0.5, waiting=0.1, save_error="the disk is full",
        )
    )  # fmt: skip
    (problem,) = Fleet.model_validate(client.get("/api/fleet").json()).problems
    assert problem.message == "the disk is full; training continues in memory"


def test_a_silent_or_dead_worker_frees_its_place(
    client: httpx.Client, state: FleetState, clock: Clock
):
    beat(client, 0)
    assert beat(client, 1)["desired"] == "standby"
    clock.now = STALE_AFTER_S + 1
    assert beat(client, 1)["desired"] == "live"
    assert beat(client, 0)["desired"] == "standby"
    state.on_exit("omega-1", "omega-1 was killed by SIGKILL")
    assert beat(client, 0)["desired"] == "live"


def test_a_worker_counts_on_after_its_process_ends_and_after_the_run_is_resumed(
    client: httpx.Client, state: FleetState
):
    assert state.counters(0) == Counters()
    beat(client, 0, episode(1, length=10), step=25, episode=1)
    state.on_exit("omega-0", "omega-0 was killed by SIGKILL")
    assert state.counters(0) == Counters(step=25, episode=1)
    resumed = FleetState(state.settings, state.store)
    assert resumed.counters(0) == Counters(step=10, episode=1)


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


def test_episodes_and_curve_of_one_worker(client: httpx.Client):
    beat(client, 0, episode(1, 0, reward=1.0), episode(2, 0, reward=3.0))
    beat(client, 1, episode(1, 1, reward=50.0))
    first = client.get("/api/episodes?worker=0").json()
    assert [each["total_reward"] for each in first] == [3.0, 1.0]
    (point,) = client.get("/api/curve?worker=1").json()
    assert point["mean_return"] == 50.0
    assert client.get("/api/curve?worker=2").json() == []
    assert len(client.get("/api/curve").json()) == 3


@pytest.mark.parametrize(
    "path",
    [
        *("episodes", "episodes?limit=2", "episodes?worker=1", "episodes?order=best"),
        *("curve", "curve?points=2", "curve?worker=0", "curve?worker=2"),
    ],
)
def test_the_current_run_answers_the_same_with_and_without_its_name(
    client: httpx.Client, path: str
):
    for number in range(1, 4):
        beat(client, 0, episode(number, 0, reward=number % 2))
        beat(client, 1, episode(number, 1, reward=10.0 * number))
    assert client.get(f"/api/{path}").json() == client.get(f"/api/runs/now/{path}").json()
    assert client.get(f"/api/{path}").status_code == 200


def test_a_run_is_summarised_with_curve_episodes_and_checkpoints(client: httpx.Client):
    beat(client, 0, episode(1, reward=1.0), episode(2, reward=7.0))
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


@pytest.mark.parametrize(
    "path",
    [
        *("/api/episodes?limit=0", "/api/episodes?limit=x", "/api/curve?points=10001"),
        *("/api/runs/now/curve?points=0", "/api/runs/now/curve?points=99999999"),
        *("/api/runs/now/curve?worker=-1", "/api/runs/now/curve?worker=x"),
        *("/api/runs/now/episodes/-1", "/api/runs/now/episodes/99999999999999999999"),
        *("/api/runs/now/episodes/nearest", "/api/runs/now/episodes/nearest?fleet_step=-1"),
    ],
)
def test_a_number_out_of_bounds_is_refused(client: httpx.Client, path: str):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]) == (422, "malformed")


def test_an_episode_is_kept_with_its_log_and_found_again(client: httpx.Client, state: FleetState):
    log = bytes(range(256))
    beat(client, 0, episode(1), episode(2, reward=9.0, log=log), episode(3, log=b"log"))
    assert [each["replayable"] for each in client.get("/api/episodes").json()] == [
        *(True, True, False)
    ]
    (best,) = client.get("/api/runs/now/episodes?replayable=true&order=best&limit=1").json()
    assert (best["id"], best["episode"], "log" in best) == (2, 2, False)
    assert client.get("/api/runs/now/episodes/2").json() == best
    assert client.get("/api/runs/now/episodes/nearest?fleet_step=21").json() == best
    assert RunCatalog(state.settings.paths.runs, state.store).episode_log("now", 2) == log


@pytest.mark.parametrize("log", ["no base64", "YQ", 17, "A" * (4 * MAX_EPISODE_LOG_BYTES // 3 + 8)])
def test_a_log_that_is_no_base64_or_too_large_is_refused(client: httpx.Client, log: object):
    body = heartbeat(0, episode(1)).model_dump(mode="json")
    body["episodes"][0]["log"] = log
    assert client.post("/api/heartbeat", json=body).status_code == 422
    assert client.get("/api/episodes").json() == []


@pytest.mark.parametrize("path", ["episodes/7", "episodes/nearest?fleet_step=3"])
def test_an_episode_that_does_not_exist_is_404_with_a_sentence(client: httpx.Client, path: str):
    answer = client.get(f"/api/runs/now/{path}")
    assert (answer.status_code, answer.json()["error"]) == (404, "no_such_episode")
    assert "episode" in answer.json()["message"]


def test_a_heartbeat_in_another_name_is_refused(client: httpx.Client):
    unknown, impostor, foreign = (heartbeat(index).model_dump(mode="json") for index in (3, 0, 0))
    impostor["status"]["instance_id"] = "omega-1"
    foreign["episodes"] = [episode(1, 1).model_dump(mode="json")]
    for body, status in ((unknown, 404), (impostor, 422), (foreign, 422)):
        answer = client.post("/api/heartbeat", json=body)
        assert answer.status_code == status
        assert answer.json()["message"]
    assert client.get("/workers").json() == {}


@pytest.mark.parametrize("field", ["worker_index", "episode", "length", "step", "policy_version"])
@pytest.mark.parametrize("value", [-1, 2**63, 10**400])
def test_a_count_beyond_the_databases_range_is_refused_and_changes_nothing(
    client: httpx.Client, field: str, value: int
):
    body = heartbeat(0, episode(1)).model_dump(mode="json")
    body["episodes"][0][field] = value
    assert client.post("/api/heartbeat", json=body).status_code == 422
    beat(client, 0, episode(2))
    assert [each["episode"] for each in client.get("/api/episodes").json()] == [2]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e31"])
def test_a_return_that_is_not_a_number_is_refused(client: httpx.Client, value: str):
    body = heartbeat(0, episode(1, reward=0.25)).model_dump_json().replace("0.25", value)
    headers = {"Content-Type": "application/json"}
    assert client.post("/api/heartbeat", content=body, headers=headers).status_code == 422


def test_the_metrics_are_prometheus_text_with_correct_values(client: httpx.Client):
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
    events = document["paths"]["/api/events"]["get"]["responses"]["200"]
    assert events["content"].keys() == {"text/event-stream"}


def test_the_featured_workers_and_the_next_one(client: httpx.Client, clock: Clock):
    for index in range(3):
        beat(client, index)
    clock.now += 2
    assert client.get("/api/featured").json() == {
        "live": ["omega-0"],
        "rotate_s": 60.0,
        "next": "omega-1",
        "next_in_s": 58.0,
    }


def test_sessions_are_listed(client: httpx.Client):
    assert client.get("/api/sessions").json() == [POOL.model_dump()]


def test_the_end_of_a_workers_log_and_of_no_other_file(client: httpx.Client, tmp_path: Path):
    (tmp_path / "omega-1.log").write_text("one\ntwo\nthree\n")
    assert client.get("/api/worker/omega-1/log?lines=2").json() == {"lines": ["two", "three"]}
    assert client.get("/api/worker/omega-1/log").json() == {"lines": ["one", "two", "three"]}
    assert client.get("/api/worker/omega-2/log").json() == {"lines": []}
    assert client.get("/api/worker/omega-9/log").status_code == 404
    assert client.get("/api/worker/..%2Fsecret/log").status_code == 404
    assert client.get("/api/worker/omega-1/log?lines=0").status_code == 422


def test_a_log_that_was_rotated_is_shown_with_its_previous_part(
    client: httpx.Client, tmp_path: Path
):
    log = tmp_path / "omega-1.log"
    log.write_text("one\ntwo\n")
    assert rotate(log, max_bytes=7)
    log.write_text("three\n")
    assert client.get("/api/worker/omega-1/log?lines=2").json() == {"lines": ["two", "three"]}


def test_a_large_log_is_not_read_whole_and_no_line_is_cut(client: httpx.Client, tmp_path: Path):
    line = "x" * 98
    (tmp_path / "omega-1.log").write_text(f"{line}\n" * (MAX_LOG_BYTES // 50))
    lines = client.get("/api/worker/omega-1/log?lines=5000").json()["lines"]
    assert set(lines) == {line}
    assert len(lines) <= MAX_LOG_BYTES // 99


def received(client: httpx.Client, count: int, last_event_id: bytes = b"") -> list[str]:
    """Return the messages of ``count`` server-sent events, read as a browser reads them."""
    headers = {b"Last-Event-ID": last_event_id} if last_event_id else {}
    messages: list[str] = []
    with client.stream("GET", "/api/events", headers=headers) as answer:  # type: ignore[arg-type]
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                messages.append(json.loads(line.removeprefix("data: "))["message"])
            if len(messages) == count:
                return messages
    raise AssertionError(f"the stream ended after {messages}")


def test_past_events_come_first_and_each_event_once(client: httpx.Client, state: FleetState):
    state.events.on_exit("omega-0", "first")
    state.events.on_exit("omega-0", "second")
    assert received(client, 2) == ["first", "second"]
    assert received(client, 1, b"1") == ["second"]


def test_a_page_is_told_of_the_fleet_as_it_changes(client: httpx.Client, state: FleetState):
    beat(client, 0)
    with client.stream("GET", "/api/events?fleet=true") as answer:
        changes = (
            json.loads(line.removeprefix("data: "))
            for line in answer.iter_lines()
            if line.startswith("data: ") and '"workers"' in line
        )
        first = next(changes)
        assert first["fleet"]["run"] == "now"
        assert first["workers"]["omega-0"]["step"] == 0
        beat(client, 0, step=7)
        assert next(changes)["workers"] == {"omega-0": {"step": 7}}


def test_an_event_carries_its_id_and_is_sent_as_it_happens(client: httpx.Client, state: FleetState):
    with client.stream("GET", "/api/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        state.events.on_exit("omega-0", "later")
        event = dict(line.split(": ", 1) for line in (next(lines) for _ in range(3)) if line)
    assert event["id"] == "1"
    assert json.loads(event["data"])["message"] == "later"


def test_a_page_that_is_left_while_events_arrive_is_no_error(
    client: httpx.Client, state: FleetState, caplog: pytest.LogCaptureFixture
):
    for number in range(200):
        state.events.on_exit("omega-0", f"death {number}")
    for _ in range(5):
        with client.stream("GET", "/api/events?fleet=true") as answer:
            assert next(answer.iter_lines()) == "retry: 1000"
    # Served once those before have been left.
    assert client.get("/healthz").is_success
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_earlier_events_come_in_pages(client: httpx.Client, state: FleetState):
    for message in ("first", "second", "third"):
        state.events.on_exit("omega-0", message)

    def page(**query: int | str) -> list[str]:
        answer = client.get("/api/events/log", params=query)
        return [event["message"] for event in answer.raise_for_status().json()]

    assert page(limit=2) == ["third", "second"]
    assert page(before=2) == ["first"]
    assert page(severity="critical") == []
    assert client.get("/api/events/log", params={"severity": "loud"}).status_code == 422


@pytest.mark.parametrize(
    "last_id", [b"77", b"-1", b"nonsense", b"9" * 40, b"9" * 5000, "\u0662".encode()]
)
def test_an_id_that_is_unknown_here_starts_from_the_beginning(
    client: httpx.Client, state: FleetState, last_id: bytes
):
    state.events.on_exit("omega-0", "first")
    assert received(client, 1, last_id) == ["first"]


def guest_heartbeat(index: int, name: str) -> str:
    return Heartbeat(status=guest_status(index, name)).model_dump_json()


def test_a_guest_that_was_found_reports_beside_the_fleet(client: httpx.Client, state: FleetState):
    json_body = {"Content-Type": "application/json"}
    body = guest_heartbeat(3, "CartPole-v1-0")
    unknown = client.post("/api/heartbeat", content=body, headers=json_body)
    assert unknown.status_code == 404
    assert state.roster.add_guest("CartPole-v1-0").index == 3
    assert client.post("/api/heartbeat", content=body, headers=json_body).json()["reason"]
    other = guest_heartbeat(4, "CartPole-v1-0")
    assert client.post("/api/heartbeat", content=other, headers=json_body).status_code == 404
    beat(client, 0)
    workers = client.get("/workers").json()
    assert {name: each["kind"] for name, each in workers.items()} == {
        "omega-0": "fleet",
        "CartPole-v1-0": "guest",
    }
    assert workers["CartPole-v1-0"]["policy_version"] is None
    assert client.get("/api/worker/CartPole-v1-0/log").json() == {"lines": []}
    featured = client.get("/api/featured").json()
    assert {*featured["live"], featured["next"]} == {"CartPole-v1-0", "omega-0"}
    state.remove("CartPole-v1-0")
    assert list(client.get("/workers").json()) == ["omega-0"]
    assert "CartPole-v1-0" not in client.get("/api/featured").text
    assert client.get("/api/worker/CartPole-v1-0/log").status_code == 404


def test_a_report_that_comes_after_a_guest_has_left_brings_it_not_back(state: FleetState):
    late = Heartbeat(status=guest_status(state.roster.add_guest("mine").index, "mine"))
    state.heartbeat(late)
    state.remove("mine")
    assert state.heartbeat(late).reason == "its trainer is gone"
    assert state.workers() == {}
    assert state.silent() == {}


@pytest.fixture
def hub(tmp_path: Path, clock: Clock) -> FleetState:
    state = FleetState(Settings(workers=0, paths=Paths(logs=tmp_path)), None, clock)
    state.set_capacity(Capacity(cpu=2))
    return state


def test_a_hub_has_no_run_and_serves_guests_alone(hub: FleetState):
    app = make_http_app("test")
    for router in (
        heartbeat_routes(hub),
        fleet_routes(hub, list),
        metrics_routes(FleetMetrics(hub, dict)),
    ):
        app.include_router(router)
    with served(app) as client:
        empty = Fleet.model_validate(client.get("/api/fleet").json())
        assert (empty.run, empty.game, empty.mode) == (None, None, None)
        assert (empty.workers, empty.problems, empty.learner) == ({}, [], None)
        featured = client.get("/api/featured").json()
        assert (featured["live"], featured["next"]) == ([], None)
        assert hub.roster.add_guest("mine").index == 0
        reply = client.post(
            "/api/heartbeat",
            content=guest_heartbeat(0, "mine"),
            headers={"Content-Type": "application/json"},
        )
        assert reply.json()["desired"] == "live"
        assert client.get("/api/featured").json()["live"] == ["mine"]
        metrics = client.get("/metrics").text
        assert 'metabonk_workers{state="standby"} 1.0' in metrics
        assert "metabonk_episodes" not in metrics
