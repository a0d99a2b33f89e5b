"""The private folder of lock files."""

import os
import stat
import tempfile
from pathlib import Path

from metabonk.errors import StartError
from metabonk.settings.environment import user_runtime_dir

NAME = "metabonk"


def runtime_dir(configured: Path | None = None) -> Path:
    """Return the folder of fleet locks and encoder slots, creating it if needed.

    It is ``configured``, else ``$XDG_RUNTIME_DIR/metabonk``, else ``metabonk-<uid>`` in the
    temporary folder. Anybody may plant a link or folder of that name there: those are refused.

    The session's folder goes with the last login, so ask again rather than keep the answer.

    Raises:
        StartError: the folder can't be created, or is not private to this user.
    """
    session, places = user_runtime_dir(), runtime_places(configured)
    if configured is None and session is not None and session_dir_problem(session) is not None:
        places = places[1:]
    return private_folder(places[0], setting="METABONK_PATHS_RUNTIME")


def runtime_places(configured: Path | None = None) -> list[Path]:
    """Return every folder that ``runtime_dir`` may return, the preferred one first."""
    if configured is not None:
        return [configured]
    session = user_runtime_dir()
    shared = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"
    return [shared] if session is None else [session / NAME, shared]


def existing_runtime_dirs(configured: Path | None = None) -> list[Path]:
    """Return the folders among ``runtime_places`` that are there and this user's."""
    found = []
    for place in runtime_places(configured):
        try:
            status = place.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
            found.append(place)
    return found


def session_dir_problem(session: Path) -> str | None:
    """Return why ``$XDG_RUNTIME_DIR`` can't be used; None if it can.

    The XDG Base Directory specification has relative paths ignored, and requires that the user owns
    the folder; ``su`` and ``sudo -E`` leave that of another user.
    """
    if not session.is_absolute():
        return "it is a relative path"
    try:
        status = session.stat()
    except OSError as error:
        return (error.strerror or "it can't be read").lower()
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder"
    if status.st_uid != os.getuid():
        return f"it belongs to another user (uid {status.st_uid})"
    if status.st_mode & stat.S_IWOTH:
        return "every user can write to it"
    if not os.access(session, os.W_OK | os.X_OK):
        return "it is not writable"
    return None


def private_folder(folder: Path, *, setting: str) -> Path:
    """Create ``folder`` with mode 0700, or check that it is private to this user.

    Args:
        folder: created with its parents.
        setting: variable that names another folder, for the message.

    Raises:
        StartError: it can't be created, is a link, or another user owns it or can write to it.
    """
    advice = f"remove it, or set {setting} to another folder"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except FileExistsError:
        raise StartError(f"{folder} is not a folder; {advice}") from None
    except OSError as error:
        raise StartError(f"can't create {folder}: {error.strerror}; {advice}") from None
    if stat.S_ISLNK(status.st_mode):
        raise StartError(f"{folder} is a link, which another user may have planted; {advice}")
    if status.st_uid != os.getuid():
        raise StartError(
            f"{folder} belongs to another user (uid {status.st_uid}); "
            f"set {setting} to a folder of yours"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartError(
            f"{folder} is writable by other users; run 'chmod 700 {folder}', or {advice}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartError(f"{folder} is not writable; {advice}")
    return folder
