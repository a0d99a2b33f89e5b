"""Settings of the commands that inspect, end or repair a fleet.

They work whatever ``metabonk.toml`` and the environment say: an invalid setting is named and left
out, and then those of the running fleet count.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from metabonk.errors import SettingsError, StartError
from metabonk.orchestrator.lock import lock_files, read_record
from metabonk.settings import Settings, load_usable_settings, read_usable_settings
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.file_lock import is_locked
from metabonk.system.private_folder import private_folder


class RunningFleet(NamedTuple):
    """A fleet as its lock file describes it.

    Attributes:
        settings: with which it was started; the token is not written to any file.
        page: URL.
    """

    settings: Settings
    page: str


def inspection_settings() -> Settings:
    """Return the settings, and print a warning for each that is left out.

    Raises:
        StartError: the default runtime directory can't be used.
    """
    settings, mistakes = usable_settings()
    for mistake in mistakes:
        sys.stderr.write(f"warning: {mistake}; this command goes without it\n")
    return settings


def usable_settings() -> tuple[Settings, list[str]]:
    """Return the settings, and a sentence for each that can't be used.

    Raises:
        StartError: the default runtime directory can't be used.
    """
    settings, mistakes = load_usable_settings()
    settings, unusable = _with_usable_folders(settings)
    mistakes += unusable
    if mistakes:
        folder = runtime_dir(settings.paths.runtime)
        fleet = running_fleet(folder, settings.ports.orchestrator) or _only_fleet(folder)
        if fleet is not None:
            paths = fleet.settings.paths.model_copy(update={"runtime": folder})
            token = settings.access_token
            settings = fleet.settings.model_copy(update={"paths": paths, "access_token": token})
    return settings, mistakes


def running_fleet(folder: Path, port: int) -> RunningFleet | None:
    """Return the running fleet of an orchestrator's port; None without one.

    Args:
        folder: the runtime directory.
        port: of the orchestrator.
    """
    return next((fleet for file in lock_files(folder, port) if (fleet := _fleet(file))), None)


def _only_fleet(folder: Path) -> RunningFleet | None:
    fleets = [fleet for file in lock_files(folder) if (fleet := _fleet(file))]
    return fleets[0] if len(fleets) == 1 else None


def fleets_with_nodes(folder: Path) -> list[RunningFleet]:
    """Return the heads and agents that run here, whose workers are not where the settings say.

    Args:
        folder: the runtime directory.
    """
    found = []
    for file in lock_files(folder):
        record, fleet = read_record(file), _fleet(file)
        if record is None or fleet is None:
            continue
        if record.kind == "join" or fleet.settings.nodes.count:
            found.append(fleet)
    return found


def _fleet(file: Path) -> RunningFleet | None:
    record = read_record(file)
    if record is None or record.settings is None or not is_locked(file):
        return None
    try:
        # It may be of another version than this command.
        settings, _ = read_usable_settings(record.settings)
    except SettingsError:
        return None
    return RunningFleet(settings, record.page)


def _with_usable_folders(settings: Settings) -> tuple[Settings, list[str]]:
    """Leave out the configured folders of locks and slots that can't be used."""
    mistakes: list[str] = []
    paths, nvenc = settings.paths, settings.nvenc
    if paths.runtime is not None and not _succeeds(lambda: runtime_dir(paths.runtime), mistakes):
        paths = paths.model_copy(update={"runtime": None})
    slot_dir = nvenc.slot_dir
    if slot_dir is not None and not _succeeds(
        lambda: private_folder(slot_dir, setting="METABONK_NVENC_SLOT_DIR"), mistakes
    ):
        nvenc = nvenc.model_copy(update={"slot_dir": None})
    return settings.model_copy(update={"paths": paths, "nvenc": nvenc}), mistakes


def _succeeds(action: Callable[[], object], mistakes: list[str]) -> bool:
    try:
        action()
    except StartError as error:
        mistakes.append(str(error))
        return False
    return True
