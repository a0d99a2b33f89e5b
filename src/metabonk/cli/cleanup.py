"""``metabonk nvenc cleanup``: what dead workers left behind, and how it is done away with.

Only what is provably MetaBonk's own and orphaned is ever ended: a process of this user that runs
MetaBonk, names the parent it was started by, and runs under another one by now. The session of
another program, a worker of a running fleet, a process seen only from inside another container are
listed and left alone.
"""

import argparse
import sys
from collections.abc import Iterator

import psutil

from metabonk.cli.stop import stop_fleet, sweep
from metabonk.encoding.sessions import Pools
from metabonk.errors import MetaBonkError
from metabonk.orchestrator.lock import is_held, lock_files
from metabonk.settings import Settings
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.process_ids import ProcessId, end, orphans

GRACE_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares how far it goes."""
    parser.add_argument("--kill", action="store_true", help="end and remove what is left over")
    parser.add_argument(
        "--force", action="store_true", help="with --kill: at once, and without asking"
    )
    parser.add_argument(
        "--all", action="store_true", help="with --kill: running fleets too, after asking"
    )


def run(arguments: argparse.Namespace, settings: Settings, pools: Pools) -> int:
    """Lists what is left over; with ``--kill`` does away with it.

    Raises:
        MetaBonkError: ``--all --kill`` was not confirmed.
    """
    left = list(left_over(pools))
    if not arguments.kill:
        _say(left or ["nothing is left over"])
        if left:
            _say(["'--kill' ends and removes these"])
        return 0
    done: list[str] = []
    if arguments.all:
        files = lock_files(runtime_dir(settings.paths.runtime))
        if any(is_held(file) for file in files) and not arguments.force:
            _ask_whether_to_end_running_fleets()
        done += [line for file in files for line in stop_fleet(file)]
    done += _do_away(pools, grace_s=0.0 if arguments.force else GRACE_S)
    _say(done or ["nothing was left over"])
    return 0


def left_over(pools: Pools) -> Iterator[str]:
    """What dead fleets and workers left, a line each."""
    for process in orphans():
        yield f"left over: {_described(process)}; the process that started it has ended"
    for pool in pools.all():
        for holder in pool.remains():
            yield f"left over: {pool.name} {holder} died with its session; the slot is free"
    yield from (f"left over: {line}" for line in sweep("--dry-run"))


def _do_away(pools: Pools, grace_s: float) -> Iterator[str]:
    left = {process: _described(process) for process in orphans()}
    killed = end(left, grace_s)
    for process, what in left.items():
        yield f"{'killed' if process in killed else 'ended'} {what}"
    for pool in pools.all():
        for holder in pool.remains(forget=True):
            yield f"wiped {pool.name} slot {holder.slot}, which {holder.worker} left"
    yield from sweep()


def _described(process: ProcessId) -> str:
    try:
        arguments = psutil.Process(process.pid).cmdline()
    except psutil.Error:
        return f"pid {process.pid}"
    command = " ".join(arguments[arguments.index("-m") + 1 :][:2]) if "-m" in arguments else ""
    index = arguments.index("--index") + 1 if "--index" in arguments else 0
    name = f" omega-{arguments[index]}" if index else ""
    return f"{command}{name} (pid {process.pid})"


def _ask_whether_to_end_running_fleets() -> None:
    if not sys.stdin.isatty():
        raise MetaBonkError(
            "a fleet is running, and nobody can be asked here whether to end it: "
            "'--force' ends it without asking, and without '--all' it is left alone"
        )
    sys.stdout.write("This ends every running fleet of yours, training included. Go on? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise MetaBonkError("nothing was ended")


def _say(lines: list[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
