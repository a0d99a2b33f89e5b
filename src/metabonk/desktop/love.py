"""Preparation of a LÖVE game: its files, with MetaBonk's adapter in front."""

import shutil
import zipfile
from pathlib import Path

from metabonk.errors import GameStartError

ADAPTER = Path(__file__).parent / "adapters" / "love"

FILES = ("main.lua", "conf.lua")
"""Those of the game are loaded by the adapter's, under another name."""


def prepare(source: Path, target: Path) -> None:
    """Copy a game to a new folder, and put the adapter in front.

    Args:
        source: a ``.love`` file, a program with one appended, or a folder.
        target: is created.

    Raises:
        GameStartError: it is no LÖVE game.
    """
    try:
        if not source.is_dir():
            with zipfile.ZipFile(source) as archive:
                archive.extractall(target)
        elif (source / "main.lua").is_file():
            shutil.copytree(source, target)
    except (OSError, zipfile.BadZipFile) as error:
        raise GameStartError(f"can't read the LÖVE game {source}: {error}") from None
    if not (target / "main.lua").is_file():
        raise GameStartError(f"{source} is no LÖVE game: it has no main.lua")
    for name in FILES:
        own = target / name
        if own.exists():
            own.rename(target / f"metabonk_{name}")
        shutil.copyfile(ADAPTER / name, own)
