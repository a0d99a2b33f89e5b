"""Runs in Weights & Biases and MLflow, by their own libraries without a network."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from metabonk.learner.trackers import MlflowRun, open_trackers, run_config, run_id
from metabonk.learner.tracking import Point
from metabonk.settings import Settings
from tests.support.waiting import until

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768

TRACKED = """
import sys, threading
from pathlib import Path
from metabonk.learner.trackers import open_trackers
from metabonk.settings import Settings
settings = Settings.model_validate({"game": "doom:basic", "tracking": {"wandb_project": "doom"}})
(tracker,) = open_trackers(settings, Path(sys.argv[1]), close_s=60)
for step in range(1, 4):
    tracker.add({"episode/return": step / 2}, 100 * step)
print("added", flush=True)
sys.stdin.read(1)
tracker.close()
"""


def read_records(file: Path) -> Iterator["Record"]:
    """Yield the records of a ``.wandb`` file, a log in LevelDB's format after seven bytes."""
    # Takes a second to import.
    from wandb.proto.wandb_internal_pb2 import Record

    data, record, position = file.read_bytes(), b"", 7
    while position + 7 <= len(data):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # Whole, or the last part.
            yield Record.FromString(record)
            record = b""


def tracked(run_dir: Path) -> tuple[list["Record"], list[dict[str, float]]]:
    """Return the runs and the points of the only file that W&B wrote."""
    (file,) = run_dir.glob("wandb/offline-run-*/*.wandb")
    records = list(read_records(file))
    points = [
        {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for item in record.history.item
        }
        for record in records
        if record.HasField("history")
    ]
    return [record for record in records if record.HasField("run")], points


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a process that has added three points to W&B and finishes when told."""
    run_dir = tmp_path / "20260301-120000-doom-basic"
    run_dir.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", TRACKED, str(run_dir)],
        env={**os.environ, "WANDB_MODE": "offline", "HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "added\n"
    yield process
    process.kill()
    process.communicate()


def test_weights_and_biases_gets_the_curves_the_settings_and_the_name(
    process: subprocess.Popen[str], tmp_path: Path
):
    process.communicate("!")
    (run_dir,) = (folder for folder in tmp_path.iterdir() if "doom-basic" in folder.name)
    (run, *_), points = tracked(run_dir)
    assert (run.run.project, run.run.display_name, run.run.run_id) == (
        "doom",
        run_dir.name,
        run_dir.name,
    )
    config = {item.key: item.value_json for item in run.run.config.update}
    assert config["game"] == '"doom:basic"' and config["learning.batch_size"] == "1024"
    assert [(p["episode/return"], p["steps_trained"]) for p in points] == [
        (0.5, 100),
        (1.0, 200),
        (1.5, 300),
    ]


def test_the_processes_of_weights_and_biases_end_with_a_killed_learner(
    process: subprocess.Popen[str],
):
    def helpers() -> list[psutil.Process]:
        return psutil.Process(process.pid).children(recursive=True)

    until("W&B has started its service", lambda: len(helpers()) > 0)
    left = helpers()
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(left, timeout=30)
    assert alive == []


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.filterwarnings("ignore")  # Of MLflow about its own libraries.
def test_mlflow_gets_the_curves_and_a_resumed_run_continues(store: None):
    from mlflow.tracking import MlflowClient

    name = "it's 100% doom"
    for start in (0, 2):
        run = MlflowRun("doom", name, run_config(Settings()))
        for step in (start + 1, start + 2):
            run.log(Point({"episode/return": step / 2}, 100 * step, 1_790_000_000.0 + step))
        run.close()
    client = MlflowClient()
    experiment = client.get_experiment_by_name("doom")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_name, found.info.status) == (name, "FINISHED")
    assert found.data.params["learning.batch_size"] == "1024"
    history = client.get_metric_history(found.info.run_id, "episode/return")
    assert [(point.step, point.value) for point in history] == [
        (100, 0.5),
        (200, 1.0),
        (300, 1.5),
        (400, 2.0),
    ]


def test_an_mlflow_server_that_never_answers_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        settings = Settings.model_validate({"tracking": {"mlflow_experiment": "doom"}})
        (tracker,) = open_trackers(settings, tmp_path, close_s=0.01)
        tracker.add({"episode/return": 1.0}, 100)
        connection, _ = silent.accept()
        tracker.close()
        connection.close()
    # What it logs then, it would log in another test.
    until("its thread ends", lambda: not tracker._thread.is_alive(), 60)
    assert "MLflow does not answer: its last points are lost" in caplog.text


def test_a_run_of_any_name_has_an_id_that_trackers_take():
    assert run_id("20260301-120000-doom-basic") == "20260301-120000-doom-basic"
    assert run_id("it's 50% / doom: " + "ö" * 99) == "it-s-50----doom--" + "-" * 47


def test_without_settings_there_are_no_trackers(tmp_path: Path):
    assert list(open_trackers(Settings(), tmp_path)) == []
