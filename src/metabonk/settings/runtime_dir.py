"""The private folder of lock files."""

import os
import stat
import tempfile
from pathlib import Path

from metabonk.settings.environment import user_runtime_dir
from metabonk.system.private_folder import private_folder, session_dir_problem

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
