"""A run's folder: the names in it, and how runs are found, created and discarded.

::

    runs/20260301-120000-doom-basic/
        settings.json           of the training
        settings-play.json      of the last time its policy played
        metabonk.sqlite         episodes, see ``episodes``
        checkpoints/            the newest ones, see ``learner.checkpoint``
        best.safetensors        checkpoint of the best mean return
        highlight.mp4           video of the best live episode, see ``highlight``
        highlight.json          its description
        tensorboard/            event files
        starts/                 of each worker, see ``starts``
        notes.json              what people say about it, see ``notes``
"""

import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

from metabonk.errors import SettingsError, StartError
from metabonk.messages.workers import Mode
from metabonk.settings import Settings, read_usable_settings, write_settings
from metabonk.settings.commands import command
from metabonk.settings.env_args import EnvArgs
from metabonk.settings.load import read_values

SETTINGS_FILE = "settings.json"
PLAY_SETTINGS_FILE = "settings-play.json"
EPISODES_FILE = "metabonk.sqlite"
CHECKPOINTS_DIR = "checkpoints"
CHECKPOINT_SUFFIX = ".safetensors"
BEST_CHECKPOINT = f"best{CHECKPOINT_SUFFIX}"
HIGHLIGHT_VIDEO = "highlight.mp4"
HIGHLIGHT_FILE = "highlight.json"
TENSORBOARD_DIR = "tensorboard"
STARTS_DIR = "starts"

NEWEST = "newest"
"""Name that stands for the newest run with a checkpoint."""

MAX_ATTEMPTS = 100


def new_run(settings: Settings) -> Path:
    """Create the folder of a run that starts now.

    Raises:
        StartError: it can't be created.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", settings.game.lower()).strip("-")
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
    try:
        settings.paths.runs.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, MAX_ATTEMPTS):
            folder = settings.paths.runs / (name if attempt == 1 else f"{name}-{attempt}")
            if not folder.exists():
                folder.mkdir()
                return folder
    except OSError as error:
        raise StartError(
            f"can't create the run's folder under {settings.paths.runs}: {error.strerror}; "
            "set METABONK_PATHS_RUNS to another folder"
        ) from None
    raise StartError(
        f"{settings.paths.runs} already holds {MAX_ATTEMPTS - 1} runs named {name}; "
        "start again in a second"
    )


def run_folders(runs: Path) -> list[Path]:
    """Return the folder of every run, the most recently modified first."""
    folders = (file.parent for file in runs.glob(f"*/{SETTINGS_FILE}"))
    return sorted(folders, key=modified_at, reverse=True)


def find_run(runs: Path, name: str, *, mode: Mode) -> Path:
    """Return the folder of an earlier run.

    Args:
        runs: the folder of runs.
        name: of the run, or ``NEWEST``: the most recently modified one with a checkpoint.
        mode: what the run is needed for; playing requires a checkpoint.

    Raises:
        StartError: there is no such run, or it has no checkpoint to play.
    """
    folders = run_folders(runs)
    if name != NEWEST:
        folder = runs / name
        if folder not in folders:
            listed = ", ".join(each.name for each in folders[:10]) or "none yet"
            raise StartError(f"there is no run {name!r} in {runs}. Runs: {listed}")
        if mode is Mode.PLAY and not has_checkpoint(folder):
            raise StartError(
                f"run {name} has no checkpoint to play; train it for a minute with "
                f"'{command('start', '--mode train --resume', shlex.quote(name))}'"
            )
        return folder
    newest = next((folder for folder in folders if has_checkpoint(folder)), None)
    if newest is None:
        raise StartError(
            f"there is no run with a checkpoint in {runs}; "
            f"start one with '{command('start', '--mode train')}'"
        )
    return newest


def game_of(run_dir: Path) -> str:
    """Return the id of the game a run was trained on, by whichever version of MetaBonk.

    Raises:
        SettingsError: its settings can't be read.
    """
    file = run_dir / SETTINGS_FILE
    game = read_values(file).get("game")
    if not isinstance(game, str):
        raise SettingsError(f"can't use the settings in {file}: game is {game!r}, but must be text")
    return game


def learning_of(run_dir: Path) -> dict[str, Any]:
    """Return what is usable of a run's recorded settings of learning, by name.

    Raises:
        SettingsError: its settings can't be read.
    """
    settings, _ = read_usable_settings(run_dir / SETTINGS_FILE)
    return settings.learning.model_dump(mode="json", exclude_unset=True)


def env_args_of(run_dir: Path) -> EnvArgs:
    """Return the arguments of the environment a run was trained on; empty in version 0.1.

    Raises:
        SettingsError: its settings can't be read.
    """
    learning = read_values(run_dir / SETTINGS_FILE).get("learning")
    given = learning.get("env_args") if isinstance(learning, dict) else None
    return given if isinstance(given, dict) else {}


def checkpoint_files(run_dir: Path) -> list[Path]:
    """Return the checkpoints of a run, newest first; the best one is kept apart."""
    return sorted((run_dir / CHECKPOINTS_DIR).glob(f"*{CHECKPOINT_SUFFIX}"), reverse=True)


def has_checkpoint(run_dir: Path) -> bool:
    """Tell whether the run has a checkpoint to play or resume."""
    return bool(checkpoint_files(run_dir))


def discard(run_dir: Path) -> None:
    """Delete the folder of a run that could not start, unless it holds a checkpoint."""
    if not has_checkpoint(run_dir):
        shutil.rmtree(run_dir, ignore_errors=True)


def save_settings(settings: Settings, run_dir: Path) -> Path:
    """Write the settings of a run for the child processes, and return the file.

    Playing leaves the settings of the training unchanged.

    Raises:
        StartError: they can't be written.
    """
    name = PLAY_SETTINGS_FILE if settings.mode is Mode.PLAY else SETTINGS_FILE
    return write_for_children(settings, run_dir / name)


def write_for_children(settings: Settings, file: Path) -> Path:
    """Write the settings for the child processes, and return the file.

    Raises:
        StartError: they can't be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_settings(settings, file)
    except OSError as error:
        raise StartError(
            f"can't write {file}: {error.strerror}; free some disk or fix the folder's permissions"
        ) from None
    return file


def modified_at(run_dir: Path) -> float:
    """Return the Unix time at which a run was last trained or played, about.

    Reading its episodes creates files of SQLite, and so modifies its folder.
    """
    names = (SETTINGS_FILE, PLAY_SETTINGS_FILE, EPISODES_FILE, f"{EPISODES_FILE}-wal")
    stats = [(run_dir / name).stat() for name in names if (run_dir / name).exists()]
    return max((stat.st_mtime for stat in stats if stat.st_size), default=0.0)
