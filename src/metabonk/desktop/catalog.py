"""Finding and reading definitions of desktop games, and whether what they need is installed."""

import functools
import shutil
import string
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from metabonk.desktop.definition import Definition, DigitsReward, describe_mistake
from metabonk.errors import GameStartError, UnknownGame
from metabonk.settings.commands import command, is_installed

PREFIX = "desktop:"
SUFFIX = ".toml"
EMBEDDED = Path(__file__).parent / "definitions"

OWN_NEEDS = {"setpriv": "util-linux"}
DISPLAY_NEEDS = OWN_NEEDS | {"Xvfb": "xvfb"}
"""Programs that every game with a display needs, and the Debian package of each."""


LIBFAKETIME = "libfaketime"


class Entry(NamedTuple):
    """A definition that was read.

    Attributes:
        game_id: ``desktop:<name>`` or ``desktop:<file>.toml``.
        file: of the definition.
        definition: of the game.
        digest: of its file.
    """

    game_id: str
    file: Path
    definition: Definition
    digest: str


def embedded_names() -> list[str]:
    """Return the names of the definitions that come with MetaBonk."""
    return sorted(file.stem for file in EMBEDDED.glob(f"*{SUFFIX}"))


def is_desktop(game_id: str) -> bool:
    """Tell whether this is the id of a desktop game."""
    return game_id.startswith(PREFIX)


def load(game_id: str) -> Entry:
    """Read a definition.

    Args:
        game_id: ``desktop:<name>``, or ``desktop:<file>.toml``.

    Raises:
        UnknownGame: there is no such name.
        GameStartError: the file can't be read, or says something else than a definition: names the
            file, the key, its value and what is allowed.
    """
    name = game_id.removeprefix(PREFIX)
    if name.endswith(SUFFIX):
        file = Path(name).absolute()
    elif name in embedded_names():
        file = EMBEDDED / f"{name}{SUFFIX}"
    else:
        raise UnknownGame(
            game_id,
            f"desktop games here are {', '.join(embedded_names())}, and any {PREFIX}<file>{SUFFIX}",
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise GameStartError(f"can't read {file}: {(error.strerror or '').lower()}") from None
    return Entry(game_id, file, _parse(file, data), blake2b(data, digest_size=4).hexdigest())


def require(entry: Entry) -> None:
    """Check that a game can be played.

    Raises:
        GameStartError: names what is missing, and the command that adds it.
    """
    require_installed(entry)
    reward = entry.definition.reward
    if isinstance(reward, DigitsReward) and (missing := missing_digits(reward.glyphs)):
        raise GameStartError(
            f"{entry.file}: reward.glyphs lacks {', '.join(missing)}: "
            f"{command('desktop calibrate', str(entry.file))!r} learns them"
        )


def missing_digits(glyphs: Collection[str]) -> list[str]:
    """Return the digits that have no glyph."""
    return [digit for digit in string.digits if digit not in glyphs]


def require_installed(entry: Entry) -> None:
    """Check that what a game needs is installed.

    Raises:
        GameStartError: names what is missing, and the command that adds it.
    """
    missing = list(missing_needs(entry.definition))
    if missing:
        raise GameStartError(
            f"{entry.game_id} can't start without {', '.join(missing)}: "
            f"run {install_command(entry.definition)!r}"
        )


def missing_needs(definition: Definition) -> Iterator[str]:
    """Yield the programs and files of a game that are not on this machine."""
    if definition.clock.kind == "frozen" and find_libfaketime() is None:
        yield LIBFAKETIME
    for need in (*_basic_needs(definition), *definition.needs):
        if not (Path(need).exists() if need.startswith("/") else find_program(need)):
            yield need
    for module in definition.modules:
        if not is_installed(module):
            yield f"the Python module {module}"


def install_command(definition: Definition) -> str:
    """Return the command that installs all that a game needs, on Debian and Ubuntu."""
    packages = {*_basic_needs(definition).values(), *definition.packages}
    if definition.clock.kind == "frozen":
        packages.add(LIBFAKETIME)
    line = f"sudo apt install {' '.join(sorted(packages))}"
    if definition.modules:
        # Without what they depend on: pygame and pygame-ce are one module, of which only one fits.
        line += f" && {sys.executable} -m pip install --no-deps {' '.join(definition.modules)}"
    return line


def find_libfaketime() -> Path | None:
    """Return the library that gives a program another clock."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


def package_versions(definition: Definition) -> dict[str, str]:
    """Return the versions of a game's Debian packages; of others, none."""
    query = ("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *definition.packages)
    if not definition.packages or not find_program(query[0]):
        return {}
    listed = subprocess.run(query, capture_output=True, check=False, encoding="utf-8")
    return dict(line.split(" ", 1) for line in listed.stdout.splitlines())


@functools.cache
def find_program(name: str) -> str | None:
    """Return the path of a program; Debian's games are not always on ``PATH``."""
    return shutil.which(name) or shutil.which(name, path="/usr/games:/usr/local/games")


def _basic_needs(definition: Definition) -> dict[str, str]:
    return DISPLAY_NEEDS if definition.has_display else OWN_NEEDS


def _parse(file: Path, data: bytes) -> Definition:
    try:
        values = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise GameStartError(f"{file} is not a text file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise GameStartError(f"{file} is not valid TOML: {error}") from None
    try:
        return Definition.model_validate(values)
    except ValidationError as error:
        mistakes = "; ".join(map(describe_mistake, error.errors()))
        raise GameStartError(f"{file}: {mistakes}") from None
