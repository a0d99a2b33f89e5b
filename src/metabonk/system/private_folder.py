"""Folders that belong to this user alone, in places where anybody may create one."""

import os
import stat
from pathlib import Path

from metabonk.errors import StartError


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
