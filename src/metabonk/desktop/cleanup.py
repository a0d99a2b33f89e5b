"""Removal of what dead owners of desktop games left behind: processes and folders."""

import os
import shutil
import signal
from pathlib import Path

import psutil

from metabonk.desktop.child import FOLDER
from metabonk.desktop.clock import shared_files
from metabonk.desktop.game_folder import PROGRAM, abandoned_folders
from metabonk.system.process_ids import ProcessId, process_id, send, wait_until_ended

END_S = 2.0


def list_orphans() -> list[str]:
    """List what ``remove_orphans`` would remove, a sentence each, without touching it.

    Raises:
        StartError: the folder of the games is not private to this user.
    """
    return [
        sentence
        for folder in abandoned_folders()
        for sentence in (
            *(f"desktop game without a player (pid {each.pid})" for each in _users(folder)),
            *(f"unused {file}" for file in _shared_files(folder)),
            f"unused {folder}",
        )
    ]


def remove_orphans() -> list[str]:
    """Kill the processes of games whose owner has ended, and remove their folders.

    Returns:
        What was done, a sentence each.

    Raises:
        StartError: see ``list_orphans``.
    """
    done = []
    for folder in abandoned_folders():
        users = _users(folder)
        for process in users:
            if send(process, signal.SIGKILL):
                done.append(f"ended desktop game without a player (pid {process.pid})")
        wait_until_ended(users, END_S)
        for file in _shared_files(folder):
            file.unlink(missing_ok=True)
            done.append(f"removed unused {file}")
        shutil.rmtree(folder, ignore_errors=True)
        done.append(f"removed unused {folder}")
    return done


def _shared_files(folder: Path) -> list[Path]:
    """Return what the program of a game has left in shared memory."""
    try:
        pid = int((folder / PROGRAM).read_text(encoding="ascii"))
    except (OSError, ValueError):  # It had not started yet.
        return []
    return shared_files(pid)


def _users(folder: Path) -> list[ProcessId]:
    """Return this user's processes that were started for a game, by their environment."""
    mark = f"{FOLDER}={folder}".encode()
    found = []
    for pid in psutil.pids():
        try:
            if Path(f"/proc/{pid}").stat().st_uid != os.getuid():
                continue
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # It has ended, or is another user's.
            continue
        process = process_id(pid)
        if mark in variables and process is not None:
            found.append(process)
    return found
