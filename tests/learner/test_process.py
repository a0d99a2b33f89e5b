"""A whole learner, over real HTTP and with the spec of a real game."""

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from metabonk.errors import CheckpointError, StartError, UnknownGame
from metabonk.games import describe_game
from metabonk.http.weights import WeightsStore
from metabonk.learner import process
from metabonk.learner.checkpoint import save_checkpoint
from metabonk.learner.ppo import Learner
from metabonk.learner.process import learn
from metabonk.policy import Actor, PolicySpec
from metabonk.policy.defaults import with_defaults
from metabonk.policy.rollout_socket import RolloutSocket
from metabonk.settings import Settings, read_settings
from metabonk.settings.learning import Learning
from tests.support.rollouts import make_rollout
from tests.support.serving import free_port
from tests.support.waiting import GENEROUS_S, until

SPEC = PolicySpec.of(describe_game("doom:basic", Learning()))
STEPS = 16


def settings(port: int, experiment: str | None = None, **changes: object) -> Settings:
    learning = {
        "rollout_steps": STEPS,
        "batch_size": 32,
        "epochs": 1,
        "num_minibatches": 1,
        "checkpoint_interval_s": 3600,
    }
    return Settings.model_validate(
        {
            "game": "doom:basic",
            "ports": {"learner": port},
            "learning": learning | changes,
            "tracking": {"mlflow_experiment": experiment},
        }
    )


@contextlib.contextmanager
def learning(
    run_dir: Path, experiment: str | None = None, **changes: object
) -> Iterator[httpx.Client]:
    """Run a learner in this process; stop it at the end."""
    port, stop = free_port(), threading.Event()
    thread = threading.Thread(
        target=learn, args=(settings(port, experiment, **changes), run_dir, stop)
    )
    thread.start()
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=GENEROUS_S, trust_env=False) as client:
            until("the learner answers", lambda: client.get("/healthz").is_success, 60)
            yield client
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def send_batch(client: httpx.Client, version: int) -> None:
    """Send a batch and wait for the weights that it leads to."""
    for seed in (2 * version, 2 * version + 1):
        rollout = make_rollout(STEPS, spec=SPEC, seed=seed, version=version)
        assert client.post("/rollouts", content=rollout.to_bytes()).status_code == 202
    until(
        "the batch is learned",
        lambda: client.get("/status").json()["policy_version"] == version + 1,
    )


def test_rollouts_yield_new_weights_and_a_run_resumes_where_it_stopped(tmp_path: Path):
    actor = Actor(SPEC)
    with learning(tmp_path) as client:
        first = client.get("/weights")
        actor.load(first.content)
        assert actor.version == 0
        send_batch(client, 0)
        second = client.get("/weights", headers={"If-None-Match": first.headers["ETag"]})
        actor.load(second.content)
        assert actor.version == 1
        status = client.get("/status").json()
        assert status["steps_trained"] == 32
        assert status["steps_per_s"] > 0
    with learning(tmp_path) as client:
        assert client.get("/weights").content == second.content
        send_batch(client, 1)
        assert client.get("/status").json()["steps_trained"] == 64


def test_a_request_for_newer_weights_does_not_outlast_the_learner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = WeightsStore()
    monkeypatch.setattr(process, "WeightsStore", lambda: store)
    with ThreadPoolExecutor() as pool:
        with learning(tmp_path) as client:
            headers = {"If-None-Match": client.get("/weights").headers["ETag"]}
            url = f"{client.base_url}/weights?wait=60"
            waiting = pool.submit(httpx.get, url, headers=headers, timeout=60, trust_env=False)
            until("it waits", lambda: store.waiting == 1)
        assert waiting.result().status_code == 304


def test_no_checkpoint_is_written_without_updates(tmp_path: Path):
    with learning(tmp_path) as client:
        assert client.get("/status").json()["updates"] == 0
    assert [file.name for file in tmp_path.iterdir()] == ["settings.json"]


def test_a_failing_checkpoint_does_not_stop_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "checkpoints").write_text("in the way")
    with caplog.at_level(logging.ERROR), learning(tmp_path, checkpoint_interval_s=0.01) as client:
        send_batch(client, 0)
        until("the error is logged", lambda: "can't write checkpoint" in caplog.text)
        send_batch(client, 1)
    assert "training continues" in caplog.text


def test_a_rejected_rollout_does_not_disturb_training(tmp_path: Path):
    with learning(tmp_path) as client:
        bad = make_rollout(STEPS, spec=SPEC, rewards=[float("nan")] * STEPS)
        assert client.post("/rollouts", content=bad.to_bytes()).status_code == 400
        too_large = make_rollout(4 * STEPS, spec=SPEC)
        assert client.post("/rollouts", content=too_large.to_bytes()).status_code == 413
        send_batch(client, 0)


def test_rollouts_come_through_shared_memory_too(tmp_path: Path):
    with learning(tmp_path) as client:
        port = client.base_url.port
        assert port is not None

        def connected() -> RolloutSocket | None:
            with contextlib.suppress(ConnectionRefusedError):
                return RolloutSocket(port)
            return None

        local = until("the learner listens", connected)
        bad = make_rollout(STEPS, spec=SPEC, rewards=[float("nan")] * STEPS)
        assert local.send(bad.to_bytes()).status == 400
        for seed in (0, 1):
            assert local.send(make_rollout(STEPS, spec=SPEC, seed=seed).to_bytes()).status == 202
        until("the batch is learned", lambda: client.get("/status").json()["policy_version"] == 1)
    with pytest.raises(ConnectionError):
        local.send(bad.to_bytes())
    local.close()


def test_a_port_in_use_is_a_start_error_that_names_it(tmp_path: Path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StartError, match=str(port)):
            learn(settings(port), tmp_path, threading.Event())


def test_an_unknown_game_is_an_error_before_the_server_starts(tmp_path: Path):
    unknown = settings(free_port()).model_copy(update={"game": "doom:nope"})
    with pytest.raises(UnknownGame):
        learn(unknown, tmp_path, threading.Event())


def test_a_run_records_the_defaults_of_its_game(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    stop = threading.Event()
    stop.set()
    given = Settings.model_validate(
        {
            "game": "gym:CartPole-v1",
            "ports": {"learner": free_port()},
            "learning": {"epochs": 3},
        }
    )
    with caplog.at_level(logging.INFO):
        learn(given, tmp_path, stop)
    assert "learning defaults for vector observations and discrete actions: " in caplog.text
    recorded = read_settings(tmp_path / "settings.json").learning
    assert recorded == with_defaults(given.learning, describe_game(given.game, given.learning))
    assert recorded.model_fields_set == Learning.model_fields.keys()
    assert recorded.epochs == 3
    assert recorded.batch_size != Learning().batch_size


def test_a_run_of_another_game_is_rejected(tmp_path: Path):
    other = Learner(
        PolicySpec.of(describe_game("doom:take_cover", Learning())), settings(1).learning
    )
    save_checkpoint(other, tmp_path)
    with pytest.raises(CheckpointError, match="doom:take_cover"):
        learn(settings(free_port()), tmp_path, threading.Event())


@pytest.mark.filterwarnings("ignore")  # Of MLflow about its own libraries.
def test_a_tracker_gets_the_curves_of_each_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    # Takes seconds to import.
    from mlflow.tracking import MlflowClient

    tracked = MlflowClient()
    # Creates the database, which the tracker and this test would otherwise do at the same time.
    assert tracked.get_experiment_by_name("doom") is None
    with learning(tmp_path, experiment="doom") as client:
        send_batch(client, 0)
        send_batch(client, 1)

        def points() -> list[int]:
            if (experiment := tracked.get_experiment_by_name("doom")) is None:
                return []
            runs = tracked.search_runs([experiment.experiment_id])
            names = (run.info.run_id for run in runs)
            return [
                point.step
                for name in names
                for point in tracked.get_metric_history(name, "update/policy")
            ]

        until("MLflow has both updates", lambda: points() == [32, 64], 60)
