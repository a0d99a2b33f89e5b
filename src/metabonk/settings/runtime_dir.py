"""The private folder of lock files."""

import os
import stat
import tempfile
from pathlib import Path

from metabonk.errors import StartError
from metabonk.settings.load import user_runtime_dir


def runtime_dir(configured: Path | None = None) -> Path:
    """Return the folder of fleet locks and encoder slots, creating it if needed.

    It is ``configured``, else ``$XDG_RUNTIME_DIR/metabonk``, else ``metabonk-<uid>`` in the
    temporary folder. Anybody may plant a link or folder of that name there: those are refused.

    Raises:
        StartError: the folder can't be created, or is not private to this user.
    """
    session = user_runtime_dir()
    folder = configured or (
        session / "metabonk"
        if session and session.is_dir()
        else Path(tempfile.gettempdir()) / f"metabonk-{os.getuid()}"
    )
    return private_folder(folder, setting="METABONK_PATHS_RUNTIME")


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
        raise StartError(f"{folder} belongs to another user (uid {status.st_uid}); {advice}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartError(
            f"{folder} is writable by other users; run 'chmod 700 {folder}', or {advice}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartError(f"{folder} is not writable; {advice}")
    return folder
