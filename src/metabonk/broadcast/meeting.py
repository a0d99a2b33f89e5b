"""The place where trainers and the hub of their user meet: a few files beside the rings.

One process of a user shows the environments: a fleet, ``metabonk watch``, or a hub. It holds the
lock here, and the locked file says where its page is.
"""

import contextlib
import json
import os
from pathlib import Path

from metabonk.broadcast.places import SETTING, ring_folders
from metabonk.errors import StartError
from metabonk.system.file_lock import is_locked, try_lock
from metabonk.system.private_folder import private_folder

LOCK = "hub.lock"
STARTING = "hub-starting.lock"
"""Locked from the decision to start a hub until it shows its page, or has failed."""

START_LOG = "hub-start.log"
"""Output of a hub while it starts; removed once it runs."""

PAGE = "page"
"""Key of the page's address in the lock's file, which is JSON; empty while it is starting."""

TOLD = "hub-told-"
"""Beginning of the names of files whose lock says that a process group was told of the page."""

LINE = "metabonk: watch at {page}\n"
"""Line that tells a training of the page."""

MAX_RECORD_BYTES = 1 << 16


def meeting_folder() -> Path:
    """Return the folder of these files, which is this user's alone.

    Raises:
        StartError: no folder can be used; says why.
    """
    reasons = list[str]()
    for folder in ring_folders():
        try:
            return private_folder(folder, setting=SETTING)
        except StartError as error:
            reasons.append(str(error))
    raise StartError("; ".join(reasons))


def remove_told(folder: Path) -> None:
    """Remove the files that say that trainers were told of the page, where those have ended."""
    for file in folder.glob(f"{TOLD}*"):
        with contextlib.suppress(OSError):
            if (descriptor := try_lock(file)) is not None:
                file.unlink(missing_ok=True)
                os.close(descriptor)


def is_shown(folder: Path) -> bool:
    """Tell whether a process is there that shows environments."""
    return is_locked(folder / LOCK)


def page_address(folder: Path) -> str | None:
    """Return the address of the page; None while there is none."""
    if not is_shown(folder):
        return None
    with contextlib.suppress(OSError, ValueError), (folder / LOCK).open("rb") as file:
        record = json.loads(file.read(MAX_RECORD_BYTES))
        page = record.get(PAGE) if isinstance(record, dict) else None
        return page if isinstance(page, str) and page else None
    return None
