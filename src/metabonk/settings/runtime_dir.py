"""A folder for lock files that only this user can write to."""

import os
import stat
import tempfile
from pathlib import Path

from metabonk.errors import StartError
from metabonk.settings.load import user_runtime_dir


def runtime_dir(configured: Path | None = None) -> Path:
    """The folder of fleet locks and encoder slots, made when it is missing.

    ``configured``, else ``$XDG_RUNTIME_DIR/metabonk``, else ``metabonk-<uid>`` in the temporary
    folder, where anybody may plant a link or a folder of that name beforehand: such a one is
    refused.

    Raises:
        StartError: the folder can't be made, or isn't safely this user's.
    """
    session = user_runtime_dir()
    folder = configured or (
        session / "metabonk"
        if session and session.is_dir()
        else Path(tempfile.gettempdir()) / f"metabonk-{os.getuid()}"
    )
    return private_folder(folder, setting="METABONK_PATHS_RUNTIME")


def private_folder(folder: Path, *, setting: str) -> Path:
    """Makes ``folder`` with mode 0700, or checks that it is this user's alone.

    Args:
        folder: its parents are made as well.
        setting: the variable that names another folder, for the message.

    Raises:
        StartError: it can't be made, is a link, or belongs to or can be written by somebody else.
    """
    advice = f"remove it, or set {setting} to a folder of your own"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except FileExistsError:
        raise StartError(f"{folder} is not a folder; {advice}") from None
    except OSError as error:
        raise StartError(f"can't make the folder {folder}: {error.strerror}; {advice}") from None
    if stat.S_ISLNK(status.st_mode):
        raise StartError(f"{folder} is a link, which somebody else may have planted; {advice}")
    if status.st_uid != os.getuid():
        raise StartError(f"{folder} belongs to another user (uid {status.st_uid}); {advice}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartError(f"{folder} can be written by other users; {advice}, or 'chmod 700' it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartError(f"{folder} is not writable; {advice}")
    return folder
