"""Settings of other programs that a fleet works with."""

from pathlib import Path

from pydantic import Field

from metabonk.settings.section import Section


class Go2rtc(Section):
    """go2rtc beside the fleet."""

    enabled: bool = Field(False, description="start it if it is installed, as --go2rtc does")
    path: Path | None = Field(None, description="its executable; default: go2rtc on PATH")


class Tracking(Section):
    """Experiment trackers that get a run's settings and curves, as TensorBoard does."""

    wandb_project: str | None = Field(
        None, min_length=1, description="project in Weights & Biases; needs metabonk[wandb]"
    )
    mlflow_experiment: str | None = Field(
        None, min_length=1, description="experiment in MLflow; needs metabonk[mlflow]"
    )
