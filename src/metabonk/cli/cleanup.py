"""``metabonk nvenc cleanup``: lists what dead workers left behind, and removes it.

It ends only processes that are provably MetaBonk's and orphaned: a process of this user that runs
MetaBonk, names the parent that started it, and now has another parent. Sessions of other programs,
workers of a running fleet, and processes in other containers are listed and left alone.
"""

import argparse
import sys
from collections.abc import Iterator

import psutil

from metabonk.cli.stop import cleanup_games, fleet_files, lost_fleets, stop_fleets
from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.slots import SlotFolderError
from metabonk.errors import MetaBonkError
from metabonk.messages.workers import INSTANCE_PREFIX
from metabonk.printable import printable
from metabonk.settings import Settings
from metabonk.system.file_lock import is_locked
from metabonk.system.process_ids import ProcessId, end, orphans

GRACE_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how much is removed."""
    parser.add_argument("--kill", action="store_true", help="end and remove what is left over")
    parser.add_argument(
        "--force", action="store_true", help="with --kill: without asking or waiting"
    )
    parser.add_argument(
        "--all", action="store_true", help="with --kill: running fleets too, after asking"
    )


def run(arguments: argparse.Namespace, settings: Settings, pools: Pools) -> int:
    """List what is left over, or remove it with ``--kill``.

    Raises:
        MetaBonkError: ``--all --kill`` was not confirmed.
    """
    if not arguments.kill:
        found = list(leftover_lines(pools))
        _print([*found, "run with --kill to remove them"] if found else ["nothing is left over"])
        return 0
    done: list[str] = []
    if arguments.all:
        if not arguments.force and _is_any_running(settings):
            _confirm_ending_fleets()
        done += stop_fleets(settings, everywhere=True)
    done += _remove_leftovers(pools, grace_s=0.0 if arguments.force else GRACE_S)
    _print(done or ["nothing was left over"])
    return 0


def leftover_lines(pools: Pools) -> Iterator[str]:
    """Yield a line for each thing left by dead fleets and workers."""
    for process in orphans():
        yield f"left over: {_describe(process)}; the process that started it is gone"
    for pool in pools.all():
        try:
            stale = pool.stale_holders()
        except SlotFolderError as error:
            yield f"{pool.name}: {error}"
            continue
        for holder in stale:
            yield f"left over: {pool.name} {holder} died holding its session; the slot is free"
    yield from (f"left over: {line}" for line in cleanup_games("--dry-run"))


def _remove_leftovers(pools: Pools, grace_s: float) -> Iterator[str]:
    descriptions = {process: _describe(process) for process in orphans()}
    killed = end(descriptions, grace_s)
    for process, description in descriptions.items():
        yield f"{'killed' if process in killed else 'ended'} {description}"
    for pool in pools.all():
        try:
            stale = pool.stale_holders(clear=True)
        except SlotFolderError as error:
            yield f"{pool.name}: nothing cleared: {error}"
            continue
        for holder in stale:
            yield f"cleared {pool.name} slot {holder.slot}, left by {holder.worker}"
    yield from cleanup_games()


def _describe(process: ProcessId) -> str:
    try:
        arguments = psutil.Process(process.pid).cmdline()
    except psutil.Error:
        return f"pid {process.pid}"
    command = " ".join(arguments[arguments.index("-m") + 1 :][:2]) if "-m" in arguments else ""
    position = arguments.index("--index") + 1 if "--index" in arguments else 0
    name = f" {INSTANCE_PREFIX}{arguments[position]}" if position else ""
    return f"{command}{name} (pid {process.pid})"


def _is_any_running(settings: Settings) -> bool:
    files = fleet_files(settings, everywhere=True)
    lost = lost_fleets(settings, everywhere=True, known=set())
    return any(is_locked(file) for file in files) or next(lost, None) is not None


def _confirm_ending_fleets() -> None:
    if not sys.stdin.isatty():
        raise MetaBonkError(
            "a fleet is running, and there is no terminal to ask for confirmation: "
            "add --force to end it, or omit --all to leave it alone"
        )
    sys.stdout.write("This ends all your running fleets and their training. Continue? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise MetaBonkError("nothing was ended")


def _print(lines: list[str]) -> None:
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
