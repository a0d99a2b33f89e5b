"""Removes what dead games left behind: engines without a player, and shared memory of nobody.

A ViZDoom engine maps three files ``/dev/shm/ViZDoom…<instance>``; so does its player. A file that
no process maps is garbage. An engine whose control queue nobody else maps can never be told
anything again.
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
    """Ends orphaned engines of MetaBonk and removes shared-memory files that nobody maps.

    Only this user's. Safe while games run, and while they start: what is found useless is looked
    at again, since processes are read one after the other and a player may have been read before
    it started the engine that was read later.

    Returns:
        What was done, a sentence each.

    Raises:
        StartError: the engines' folder is not safely this user's.
    """
    done = [_end(engine) for engine in _orphans() & _orphans()]
    for file in sorted(_unused() & _unused()):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
            done.append(f"removed {file}, which no process uses")
    return done


def list_orphans() -> list[str]:
    """What ``remove_orphans`` would do away with now, a sentence each; nothing is touched.

    Raises:
        StartError: as ``remove_orphans``.
    """
    return [
        *(f"the Doom engine with pid {engine.pid} has lost its player" for engine in _orphans()),
        *(f"no process uses {file}" for file in sorted(_unused() & _unused())),
    ]


def _unused() -> set[Path]:
    files = {file for file in shared_memory.PATH.glob(f"{PREFIX}*") if _ours(file)}
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
            # Only what runs in our folder, as our launcher left it, is an engine of ours.
            if process.cwd() == str(folder) and "+viz_instance_id" in process.cmdline():
                orphans.add(process)
    return orphans


def _end(engine: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        engine.kill()
        engine.wait(1.0)
    return f"ended the Doom engine with pid {engine.pid}, whose player had gone"


def _mappings() -> dict[int, set[Path]]:
    """The ViZDoom files that each process of this user maps."""
    found: dict[int, set[Path]] = {}
    start = f"{shared_memory.PATH}/{PREFIX}"
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            lines = (folder / "maps").read_text(errors="replace").splitlines()
        except OSError:  # Gone since, or another user's.
            continue
        files = {Path(line[line.index(start) :]) for line in lines if start in line}
        if files:
            found[int(folder.name)] = files
    return found


def _ours(file: Path) -> bool:
    try:
        return file.lstat().st_uid == os.getuid()
    except FileNotFoundError:
        return False
