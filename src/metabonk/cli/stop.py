"""``metabonk stop``: stop a running fleet from another terminal, or clean up after a killed one."""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from metabonk.cli.inspection import inspection_settings
from metabonk.errors import MetaBonkError
from metabonk.orchestrator.lock import (
    FleetRecord,
    end_leftovers,
    lock_files,
    read_record,
    remove_stale,
)
from metabonk.orchestrator.unrecorded import unrecorded_fleets
from metabonk.printable import printable
from metabonk.settings import Settings
from metabonk.settings.runtime_dir import existing_runtime_dirs, runtime_places
from metabonk.system.file_lock import is_locked
from metabonk.system.process_ids import boot_id, end, is_alive

STOP_TIMEOUT_S = 5.0
POLL_S = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which fleets to stop."""
    parser.add_argument("--all", action="store_true", help="every fleet of this user")
    parser.add_argument(
        "--go2rtc", action="store_true", help="also its go2rtc, which always ends with it"
    )


def run(arguments: argparse.Namespace) -> int:
    """Stop the fleets, and print what was stopped.

    Raises:
        MetaBonkError: the holder of a fleet's lock can't be identified as a fleet.
    """
    stopped = list(stop_fleets(inspection_settings(), everywhere=arguments.all))
    sys.stdout.write("".join(f"{printable(line)}\n" for line in stopped) or "nothing is running\n")
    return 0


def stop_fleets(settings: Settings, *, everywhere: bool) -> Iterator[str]:
    """Stop the fleet on the configured port, or all of this user's; yield a line for each.

    Raises:
        MetaBonkError: the holder of a fleet's lock can't be identified as a fleet.
    """
    files = fleet_files(settings, everywhere=everywhere)
    records = [record for file in files if (record := read_record(file)) is not None]
    for file in files:
        yield from stop_fleet(file)
    known = {record.process.pid for record in records}
    for record in lost_fleets(settings, everywhere=everywhere, known=known):
        yield from _stop_unrecorded(record)


def fleet_files(settings: Settings, *, everywhere: bool) -> list[Path]:
    """Return the lock files of fleets, in every runtime folder that commands may have used.

    Those of hubs are always among them: a hub is found by trainers and not by its port.
    """
    port = settings.ports.orchestrator
    own = {file for folder in _folders(settings) for file in lock_files(folder, port)}
    return [
        file
        for folder in _folders(settings)
        for file in lock_files(folder)
        if everywhere or file in own or _is_hub(file)
    ]


def lost_fleets(settings: Settings, *, everywhere: bool, known: set[int]) -> Iterator[FleetRecord]:
    """Yield the running fleets whose record was lost."""
    folders = [place.absolute() for place in runtime_places(settings.paths.runtime)]
    port = settings.ports.orchestrator
    return unrecorded_fleets(port, folders=folders, everywhere=everywhere, known=known)


def stop_fleet(file: Path) -> Iterator[str]:
    """Stop the fleet of a lock file, or clean up after a killed one; yield a line for each.

    Raises:
        MetaBonkError: the lock's holder can't be identified as a fleet.
    """
    record = read_record(file)
    if not is_locked(file):
        if record is not None:
            yield from end_leftovers(record)
        remove_stale(file)
        yield from cleanup_games()
        return
    if record is None or record.boot != boot_id() or not is_alive(record.process):
        raise MetaBonkError(
            f"{file} is locked by a process that is not known to be a fleet of this machine; "
            f"'lsof {file}' shows which"
        )
    beside = record.children.get("go2rtc")
    killed = end([record.process], STOP_TIMEOUT_S)
    # It updates the record of its children until it ends.
    record = read_record(file) or record
    _wait_until_unlocked(file)
    what = "the fleet" if record.kind == "fleet" else f"'metabonk {record.kind}'"
    how = f"stopped {what} (pid {record.process.pid}, page {record.page})"
    yield f"{how}; it did not stop in time and was killed" if killed else how
    if beside is not None:
        yield f"stopped its go2rtc (pid {beside.pid})"
    if killed:
        yield from end_leftovers(record)
        yield from cleanup_games()
    remove_stale(file)


def _folders(settings: Settings) -> list[Path]:
    return existing_runtime_dirs(settings.paths.runtime)


def _is_hub(file: Path) -> bool:
    record = read_record(file)
    return record is not None and record.kind != "fleet"


def _stop_unrecorded(record: FleetRecord) -> Iterator[str]:
    killed = end([record.process], STOP_TIMEOUT_S)
    how = f"stopped the fleet (pid {record.process.pid}), whose record was lost"
    yield f"{how}; it did not stop in time and was killed" if killed else how
    if killed:
        yield from end_leftovers(record)
        yield from cleanup_games()


def cleanup_games(*arguments: str) -> Iterator[str]:
    """Run ``metabonk cleanup-games``; yield its lines."""
    command = (sys.executable, "-m", "metabonk.cli.main", "cleanup-games", *arguments)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
    yield from done.stdout.splitlines()
    if done.returncode:
        yield f"leftovers of killed games could not be removed: {done.stderr.strip()}"


def _wait_until_unlocked(file: Path) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while is_locked(file) and time.monotonic() < deadline:
        time.sleep(POLL_S)
