"""Runs in Weights & Biases and MLflow.

Their libraries are optional and take seconds to import, so each is imported where its run begins:
on the thread that delivers to it.
"""

import importlib
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from metabonk.learner.tracking import CLOSE_S, Point, TrackerThread
from metabonk.settings import Settings
from metabonk.settings.environment import disable_mlflow_telemetry

STEPS = "steps_trained"
"""Horizontal axis of the curves in Weights & Biases."""

MAX_ID = 64
"""Longest id of a run in Weights & Biases."""

MLFLOW_TAG = "metabonk.run"
"""Tag by which a run is found again in MLflow."""


def open_trackers(
    settings: Settings, run_dir: Path, *, close_s: float = CLOSE_S
) -> Iterator[TrackerThread]:
    """Start the delivery to each tracker that the settings name.

    Args:
        settings: of the fleet.
        run_dir: folder of the run.
        close_s: longest time that each takes to finish, seconds.
    """
    tracking, config = settings.tracking, run_config(settings)
    if tracking.wandb_project:
        connect = partial(WandbRun, tracking.wandb_project, run_dir, config)
        yield TrackerThread("Weights & Biases", connect, close_s=close_s)
    if tracking.mlflow_experiment:
        connect_mlflow = partial(MlflowRun, tracking.mlflow_experiment, run_dir.name, config)
        yield TrackerThread("MLflow", connect_mlflow, close_s=close_s)


def run_config(settings: Settings) -> dict[str, Any]:
    """Return the settings that decide what is learned, by their full names."""
    learning = settings.learning.model_dump(mode="json")
    return {
        "game": settings.game,
        "workers": settings.workers,
        **{f"learning.{name}": value for name, value in learning.items()},
    }


def run_id(name: str) -> str:
    """Return the id of a run in the trackers, which take fewer characters than a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:MAX_ID]


class WandbRun:
    """A run in Weights & Biases, of the same name; its files are in the run's folder.

    Login, server and offline mode are what ``wandb`` itself reads (``WANDB_MODE=offline``).

    Args:
        project: that it belongs to.
        run_dir: folder of the run, which is continued if it was tracked before.
        config: for the record.
    """

    def __init__(self, project: str, run_dir: Path, config: dict[str, Any]) -> None:
        wandb = importlib.import_module("wandb")
        self._run = wandb.init(
            project=project,
            id=run_id(run_dir.name),
            name=run_dir.name,
            dir=run_dir,
            config=config,
            allow_val_change=True,
            resume="allow",
            # Its monitor of the machine would take time from live streams.
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True),
        )
        self._run.define_metric(STEPS)
        self._run.define_metric("*", step_metric=STEPS)

    def log(self, point: Point) -> None:
        """Add a point to the curves."""
        self._run.log({**point.scalars, STEPS: point.step})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class MlflowRun:
    """A run in MLflow, of the same name.

    The server or database is what MLflow itself reads (``MLFLOW_TRACKING_URI``).

    Args:
        experiment: that it belongs to; created if there is none.
        name: of the run, which is continued if it was tracked before.
        config: for the record.
    """

    def __init__(self, experiment: str, name: str, config: dict[str, Any]) -> None:
        disable_mlflow_telemetry()
        tracking = importlib.import_module("mlflow.tracking")
        self._entities = importlib.import_module("mlflow.entities")
        self._client = tracking.MlflowClient()
        found = self._client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else self._client.create_experiment(experiment)
        filter_string = f"tags.`{MLFLOW_TAG}` = '{run_id(name)}'"
        runs = self._client.search_runs([experiment_id], filter_string, max_results=1)
        if runs:
            self._id = runs[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {MLFLOW_TAG: run_id(name)}
        run = self._client.create_run(experiment_id, run_name=name, tags=tags)
        self._id = run.info.run_id
        params = [self._entities.Param(key, str(value)) for key, value in config.items()]
        self._client.log_batch(self._id, params=params)

    def log(self, point: Point) -> None:
        """Add a point to the curves."""
        milliseconds = int(1000 * point.time)
        metrics = [
            self._entities.Metric(name, value, milliseconds, point.step)
            for name, value in point.scalars.items()
        ]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self) -> None:
        """Finish the run."""
        self._client.set_terminated(self._id)
