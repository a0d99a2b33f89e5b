"""Removal of what dead games left behind: engines without a player, and unused shared memory.

A ViZDoom engine maps three files ``/dev/shm/ViZDoom…<instance>``; so does its player. A file that
no process maps is garbage. An engine whose control queue nobody else maps can't be told anything
any more.
"""

import contextlib
import os
from pathlib import Path

import psutil

from metabonk.games.doom_engine import engine_folder
from metabonk.system import shared_memory

PREFIX = "ViZDoom"
CONTROL_QUEUE = "ViZDoomMQCtr"


def remove_orphans() -> list[str]:
    """End MetaBonk's orphaned engines and remove shared-memory files that no process maps.

    Only those of this user. Safe while games run or start: what looks orphaned is checked twice,
    since processes are read one after the other, and a player may be read before it starts its
    engine.

    Returns:
        What was done, a sentence each.

    Raises:
        StartError: the engines' folder is not private to this user.
    """
    done = [_kill(engine) for engine in _orphans() & _orphans()]
    for file in sorted(_unused() & _unused()):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
            done.append(f"removed unused {file}")
    return done


def list_orphans() -> list[str]:
    """List what ``remove_orphans`` would remove, a sentence each, without touching it.

    Raises:
        StartError: see ``remove_orphans``.
    """
    return [
        *(f"Doom engine without a player (pid {engine.pid})" for engine in _orphans()),
        *(f"unused {file}" for file in sorted(_unused() & _unused())),
    ]


def _unused() -> set[Path]:
    files = {file for file in shared_memory.PATH.glob(f"{PREFIX}*") if _is_own(file)}
    return files.difference(*_mappings().values())


def _orphans() -> set[psutil.Process]:
    folder = engine_folder()
    mappings = _mappings()
    orphans = set()
    for pid, files in mappings.items():
        queues = {file for file in files if file.name.startswith(CONTROL_QUEUE)}
        others = {file for other, theirs in mappings.items() if other != pid for file in theirs}
        if not queues or queues & others:
            continue
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            # Our launcher runs engines in our folder.
            if process.cwd() == str(folder) and "+viz_instance_id" in process.cmdline():
                orphans.add(process)
    return orphans


def _kill(engine: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        engine.kill()
        engine.wait(1.0)
    return f"ended Doom engine without a player (pid {engine.pid})"


def _mappings() -> dict[int, set[Path]]:
    """Return the ViZDoom files that each process of this user maps."""
    found: dict[int, set[Path]] = {}
    start = f"{shared_memory.PATH}/{PREFIX}"
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            lines = (folder / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:  # It has ended, or is another user's.
            continue
        files = {Path(line[line.index(start) :]) for line in lines if start in line}
        if files:
            found[int(folder.name)] = files
    return found


def _is_own(file: Path) -> bool:
    try:
        return file.lstat().st_uid == os.getuid()
    except FileNotFoundError:
        return False
