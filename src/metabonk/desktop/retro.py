"""Games of consoles, ``retro:<game>``: definitions made of what stable-retro knows of each.

An emulator is a process of its own, since stable-retro allows one in each.
"""

import functools
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from pydantic import BaseModel

from metabonk.desktop.catalog import Entry
from metabonk.desktop.definition import Definition
from metabonk.errors import GameStartError, UnknownGame
from metabonk.settings.commands import add_extra, is_installed
from metabonk.settings.environment import environment_with

PREFIX = "retro:"
MODULE = "stable_retro"
EXTRA = "retro"
ADAPTER = Path(__file__).parent / "adapters" / "retro_adapter.py"

TICS_PER_SECOND = 60
LIMIT_S = 1800
"""Longest episode, of the game's own time, as for Atari games (Machado et al. 2018)."""

MAX_COMBINATIONS = 64
"""Actions up to which all combinations of a console's buttons are offered."""

DESCRIPTION_S = 60.0


class _Console(BaseModel):
    """A game's console.

    Attributes:
        size: width and height of its picture.
        buttons: names by bit.
        combinations: groups of buttons, each a choice of bits that are held together; the first
            two are the directions.
    """

    size: tuple[int, int]
    buttons: list[str | None]
    combinations: list[list[int]]


def is_retro(game_id: str) -> bool:
    """Tell whether this is the id of a console's game."""
    return game_id.startswith(PREFIX)


def require_installed() -> None:
    """Check that emulators can run.

    Raises:
        GameStartError: carries the command that installs them.
    """
    if not is_installed(MODULE):
        raise GameStartError(
            f"games of consoles need stable-retro, which is not installed: run {add_extra(EXTRA)!r}"
        )


def load(game_id: str, frame_skip: int = 4) -> Entry:
    """Make the definition of a game.

    Args:
        game_id: ``retro:<game>`` or ``retro:<game>:<savestate>``.
        frame_skip: tics that an action is held.

    Raises:
        GameStartError: stable-retro is not installed, or does not describe it.
        UnknownGame: there is no such game, ROM or savestate; says what to do.
    """
    require_installed()
    name, _, state = game_id.removeprefix(PREFIX).partition(":")
    console = _describe(game_id, name, state)
    definition = Definition.model_validate(
        {
            "name": name,
            "command": ["{python}", "{game}"],
            "sizes": [console.size],
            "clock": {
                "kind": "adapter",
                "tics_per_second": TICS_PER_SECOND,
                "tics_per_step": frame_skip,
            },
            "adapter": {"engine": "retro", "source": name, "begin": state},
            "actions": actions(console.buttons, console.combinations),
            "reward": {"from": "adapter", "value": "reward"},
            "episode": {"over": "done", "limit_s": LIMIT_S},
            "view": {"width": 84, "height": 84, "grayscale": True, "frame_stack": 4},
        }
    )
    digest = blake2b(definition.model_dump_json().encode(), digest_size=4).hexdigest()
    return Entry(game_id, ADAPTER, definition, digest)


def actions(
    buttons: Sequence[str | None], combinations: Sequence[Sequence[int]]
) -> dict[str, tuple[str, ...]]:
    """Return the buttons that each action holds, by the action's name.

    Where all combinations are too many to choose among, each action holds a direction and at most
    one other button.

    Args:
        buttons: names by bit.
        combinations: see ``_Console``.
    """
    groups = [[_names(mask, buttons) for mask in group] for group in combinations]
    if math.prod(map(len, groups)) > MAX_COMBINATIONS:
        others = [held for group in groups[2:] for held in group if len(held) <= 1]
        groups = [*groups[:2], list(dict.fromkeys(others))]
    all_held = (tuple(itertools.chain(*each)) for each in itertools.product(*groups))
    return {"_".join(held).lower().replace("-", "_") or "wait": held for held in all_held}


def _names(mask: int, buttons: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(buttons) if name and mask >> bit & 1)


@functools.cache
def _describe(game_id: str, name: str, state: str) -> _Console:
    command = (sys.executable, str(ADAPTER), "--describe", name, state)
    try:
        described = subprocess.run(
            command,
            capture_output=True,
            check=True,
            encoding="utf-8",
            env=environment_with({}),
            timeout=DESCRIPTION_S,
        )
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
        raise GameStartError(f"{game_id} can't be opened: {last[0]}") from None
    except subprocess.TimeoutExpired:
        raise GameStartError(
            f"{game_id} can't be opened: its emulator takes more than {DESCRIPTION_S:g} s"
        ) from None
    answer = json.loads(described.stdout.splitlines()[-1])
    if "error" in answer:
        raise UnknownGame(game_id, answer["error"])
    return _Console.model_validate(answer)
