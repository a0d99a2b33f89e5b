"""``metabonk stop``: ends a running fleet from another terminal, and what a killed one left."""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from metabonk.errors import MetaBonkError
from metabonk.orchestrator.lock import (
    FleetRecord,
    is_held,
    lock_files,
    read_record,
    remove_unheld,
)
from metabonk.settings import load_settings
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.process_ids import boot_id, end, is_alive, leftovers

PATIENCE_S = 5.0
LEFTOVER_GRACE_S = 0.5
POLL_S = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares which fleets are meant."""
    parser.add_argument("--all", action="store_true", help="every fleet of this user")
    parser.add_argument(
        "--go2rtc", action="store_true", help="also its go2rtc, which ends with it in any case"
    )


def run(arguments: argparse.Namespace) -> int:
    """Stops them, and says what it stopped.

    Raises:
        MetaBonkError: a fleet that can't be told apart from another process, or that won't end.
    """
    settings = load_settings()
    folder = runtime_dir(settings.paths.runtime)
    port = None if arguments.all else settings.ports.orchestrator
    stopped = [line for file in lock_files(folder, port) for line in stop_fleet(file)]
    sys.stdout.write("".join(f"{line}\n" for line in stopped) or "nothing is running\n")
    return 0


def stop_fleet(file: Path) -> Iterator[str]:
    """Ends the fleet of a lock file, or what a killed one left; a line for each thing ended.

    Raises:
        MetaBonkError: it can't be told to be a fleet.
    """
    record = read_record(file)
    if not is_held(file):
        if record is not None:
            yield from _end_leftovers(record)
        remove_unheld(file)
        yield from sweep()
        return
    if record is None or record.boot != boot_id() or not is_alive(record.process):
        raise MetaBonkError(
            f"{file} is locked by a process that can't be told to be a fleet of this machine; "
            f"'lsof {file}' shows which"
        )
    beside = record.children.get("go2rtc")
    killed = end([record.process], PATIENCE_S)
    # It writes the last of its children before it ends.
    record = read_record(file) or record
    _wait_until_free(file)
    how = f"stopped the fleet (pid {record.process.pid}, page {record.page})"
    yield f"{how}: it did not end by itself and was killed" if killed else how
    if beside is not None:
        yield f"stopped its go2rtc (pid {beside.pid})"
    if killed:
        yield from _end_leftovers(record)
        yield from sweep()
    remove_unheld(file)


def _end_leftovers(record: FleetRecord) -> Iterator[str]:
    if record.boot != boot_id():
        return
    for name, session in record.children.items():
        left = leftovers(session)
        if left:
            end(left, LEFTOVER_GRACE_S)
            pids = ", ".join(str(process.pid) for process in left)
            yield f"ended what was left of {name} (pid {pids})"


def sweep(*arguments: str) -> Iterator[str]:
    """Ends engines and removes shared memory of games that were killed; says what it did."""
    command = (sys.executable, "-m", "metabonk.cli.main", "sweep", *arguments)
    swept = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    yield from swept.stdout.splitlines()
    if swept.returncode:
        yield f"what killed games left could not be removed: {swept.stderr.strip()}"


def _wait_until_free(file: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while is_held(file) and time.monotonic() < deadline:
        time.sleep(POLL_S)
