"""The folders of runs: settings, episodes and checkpoints, one folder a run."""

import re
import shutil
import time
from pathlib import Path

from metabonk.errors import StartError
from metabonk.messages import Mode
from metabonk.settings import Settings, read_settings, write_settings

NEWEST = "newest"
SETTINGS_FILE = "settings.json"
PLAY_SETTINGS_FILE = "settings-play.json"
CHECKPOINTS = "checkpoints"


def new_run(settings: Settings) -> Path:
    """Makes the folder of a run that begins now.

    Raises:
        StartError: it can't be made.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", settings.game.lower()).strip("-")
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
    try:
        settings.paths.runs.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 100):
            folder = settings.paths.runs / (name if attempt == 1 else f"{name}-{attempt}")
            if not folder.exists():
                folder.mkdir()
                return folder
    except OSError as error:
        raise StartError(
            f"can't make the folder of the run under {settings.paths.runs}: {error.strerror}; "
            "METABONK_PATHS_RUNS names another place"
        ) from None
    raise StartError(f"there are a hundred runs called {name} in {settings.paths.runs}")


def find_run(runs: Path, name: str, *, mode: Mode) -> Path:
    """The folder of an earlier run.

    Args:
        runs: the folder of runs.
        name: of the run, or ``newest``: the one with a checkpoint that was worked on last.
        mode: what it is wanted for.

    Raises:
        StartError: there is none, or it has no checkpoint to play.
    """
    folders = sorted(
        (file.parent for file in runs.glob(f"*/{SETTINGS_FILE}")), key=_worked_on, reverse=True
    )
    if name != NEWEST:
        folder = runs / name
        if folder not in folders:
            listed = ", ".join(each.name for each in folders[:10]) or "none yet"
            raise StartError(f"there is no run {name!r} in {runs}. Runs: {listed}")
        if mode is Mode.PLAY and not has_checkpoint(folder):
            raise StartError(f"the run {name} has no checkpoint to play; train it for a minute")
        return folder
    newest = next((folder for folder in folders if has_checkpoint(folder)), None)
    if newest is None:
        raise StartError(
            f"there is no run with a checkpoint in {runs}; begin one with './start --mode train'"
        )
    return newest


def game_of(run_dir: Path) -> str:
    """The game that a run is of.

    Raises:
        SettingsError: its settings can't be read.
    """
    return read_settings(run_dir / SETTINGS_FILE).game


def has_checkpoint(run_dir: Path) -> bool:
    """Whether the run has saved anything that can be played or resumed."""
    return any((run_dir / CHECKPOINTS).glob("*.safetensors"))


def discard(run_dir: Path) -> None:
    """Removes the folder of a run that could not begin, unless something was learned in it."""
    if not has_checkpoint(run_dir):
        shutil.rmtree(run_dir, ignore_errors=True)


def save_settings(settings: Settings, run_dir: Path) -> Path:
    """Writes the settings for the child processes; those a run was trained with stay its own.

    Raises:
        StartError: they can't be written.
    """
    name = PLAY_SETTINGS_FILE if settings.mode is Mode.PLAY else SETTINGS_FILE
    try:
        write_settings(settings, run_dir / name)
    except OSError as error:
        raise StartError(f"can't write {run_dir / name}: {error.strerror}") from None
    return run_dir / name


def _worked_on(run_dir: Path) -> float:
    return max(file.stat().st_mtime for file in (run_dir, run_dir / SETTINGS_FILE))
