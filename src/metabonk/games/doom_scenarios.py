"""The Doom scenarios that ViZDoom ships: their names, and what a player can do in each."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vizdoom as vzd

from metabonk.errors import GameError

UNPLAYABLE = {
    "cig": "is for several players",
    "multi": "is for several players",
    "multi_duel": "is for several players",
    "doom": "needs doom.wad, which ViZDoom may not ship",
    "doom2": "needs doom2.wad, which ViZDoom may not ship",
    "oblige": "needs a level made by the program Oblige",
}
"""Configurations without a game of their own for one player, and why."""

FIRST_MAP = {"freedoom1": "E1M1"}
"""Maps that a configuration fails to name. With the default, ``map01``, which Freedoom 1 doesn't
have, ViZDoom 1.3.2 waits for ever at the second episode."""

REWARD_SCALE = {
    "basic": 0.01,
    "basic_audio": 0.01,
    "basic_notifications": 0.01,
    "learning": 0.01,
    "simpler_basic": 0.01,
    "rocket_basic": 0.01,
    "deadly_corridor": 0.01,
    "health_gathering": 0.01,
    "health_gathering_supreme": 0.01,
    "take_cover": 0.01,
}
"""Brings returns near 1. As in Sample Factory, ``sf_examples/vizdoom/doom/doom_utils.py``."""

WORTH: dict[str, dict[str, float]] = {
    # Their own reward only counts the time lived, and says nothing of the medkits that lengthen it.
    "health_gathering": {"HEALTH": 1.0},
    "health_gathering_supreme": {"HEALTH": 1.0},
    # There are 26 cartridges and no more, and nothing in the picture says that a shot was wasted.
    "defend_the_center": {"SELECTED_WEAPON_AMMO": 0.2},
}
"""To learn from: the reward for each point won of a game variable of ViZDoom, and the opposite for
each one lost. Summed over an episode it is the difference of the variable's last and first value,
so it says what helps on the way and hardly changes what is best (Ng et al. 1999)."""

WAIT = "wait"

HELD = (
    vzd.Button.TURN_LEFT,
    vzd.Button.TURN_RIGHT,
    vzd.Button.MOVE_LEFT,
    vzd.Button.MOVE_RIGHT,
    vzd.Button.MOVE_FORWARD,
    vzd.Button.MOVE_BACKWARD,
    vzd.Button.ATTACK,
    vzd.Button.USE,
    vzd.Button.SELECT_NEXT_WEAPON,
)
"""Buttons that make an action of their own, in the order people read them. Modifiers (SPEED,
STRAFE), axes (…_DELTA) and direct weapon choice are left out: they multiply the actions and the
scenarios can be won without them."""

TOGETHER = (
    (vzd.Button.MOVE_FORWARD, vzd.Button.TURN_LEFT),
    (vzd.Button.MOVE_FORWARD, vzd.Button.TURN_RIGHT),
    (vzd.Button.MOVE_FORWARD, vzd.Button.ATTACK),
)
"""Pairs worth an action of their own: walking a curve, and shooting on the way."""


@dataclass(frozen=True)
class Scenario:
    """One playable scenario.

    Attributes:
        name: of the configuration file, without its suffix.
        file: the configuration.
        action_names: one an action, for people.
        actions: which buttons each action holds, in the scenario's order of buttons.
        timeout_tics: tics after which an episode is cut off; 0: never.
    """

    name: str
    file: Path
    action_names: tuple[str, ...]
    actions: tuple[tuple[bool, ...], ...]
    timeout_tics: int


@cache
def scenario_names() -> tuple[str, ...]:
    """Names of the scenarios that one player can play, sorted."""
    return tuple(
        file.stem
        for file in sorted(Path(vzd.scenarios_path).glob("*.cfg"))
        if file.stem not in UNPLAYABLE
    )


@cache
def load_scenario(name: str) -> Scenario:
    """Reads a scenario's configuration, without starting an engine.

    Raises:
        GameError: ViZDoom can't read it.
    """
    file = Path(vzd.scenarios_path) / f"{name}.cfg"
    game = vzd.DoomGame()
    if not game.load_config(str(file)):
        raise GameError(f"ViZDoom can't read the scenario {name} in {file}")
    buttons = game.get_available_buttons()
    names, actions = action_set(buttons)
    return Scenario(name, file, names, actions, game.get_episode_timeout())


def action_set(
    buttons: list[vzd.Button],
) -> tuple[tuple[str, ...], tuple[tuple[bool, ...], ...]]:
    """The discrete actions of a scenario: wait, each useful button alone, and useful pairs.

    Args:
        buttons: that the scenario has, in its order.

    Returns:
        The names, and for each the buttons that are down.
    """
    chords: list[tuple[vzd.Button, ...]] = [()]
    chords += [(button,) for button in HELD if button in buttons]
    chords += [pair for pair in TOGETHER if set(pair) <= set(buttons)]
    names = tuple(" + ".join(_words(button) for button in chord) or WAIT for chord in chords)
    return names, tuple(tuple(button in chord for button in buttons) for chord in chords)


def _words(button: vzd.Button) -> str:
    return str(button.name).lower().replace("_", " ")
