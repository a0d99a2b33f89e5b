"""The private folder of one running desktop game: its home, its display's files, its output.

Whoever runs the game holds a lock in it. Where that is free, the game has lost its owner.
"""

import os
import shutil
import tempfile
from pathlib import Path

from metabonk.errors import GameError
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.file_lock import is_locked, try_lock
from metabonk.system.private_folder import private_folder

LOCK = "owner.lock"
PROGRAM = "program.pid"
NAME_PREFIX = "game-"


def games_folder() -> Path:
    """Return the folder that holds those of all desktop games of this user.

    Raises:
        StartError: it can't be created.
    """
    return private_folder(runtime_dir() / "desktop", setting="XDG_RUNTIME_DIR")


class GameFolder:
    """A new private folder.

    Raises:
        GameError: it can't be made.
        StartError: see ``games_folder``.

    Attributes:
        path: of the folder.
        home: of the program.
        output: file that receives what the program prints.
        program: file with the program's pid, once it has started.
    """

    def __init__(self) -> None:
        parent = games_folder()
        try:
            # Locked before it gets the name by which abandoned folders are found.
            made = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
            self.path = made.with_name(NAME_PREFIX + made.name.removeprefix(".new-"))
            descriptor = try_lock(made / LOCK)
            assert descriptor is not None, "nobody else knows the folder"
            self._lock = descriptor
            (made / "home").mkdir()
            made.rename(self.path)
        except OSError as error:
            raise GameError(f"can't make a folder in {parent}: {error.strerror}") from None
        self.home = self.path / "home"
        self.output = self.path / "output.txt"
        self.program = self.path / PROGRAM

    def close(self) -> None:
        """Remove the folder; all processes that use it have ended."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def abandoned_folders() -> list[Path]:
    """Return the folders whose owners have ended.

    Raises:
        StartError: see ``games_folder``.
    """
    return [
        folder
        for folder in sorted(games_folder().glob(f"{NAME_PREFIX}*"))
        if not is_locked(folder / LOCK)
    ]
