"""The Doom scenarios that ViZDoom ships, and the actions of each."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vizdoom as vzd

from metabonk.errors import GameError

UNPLAYABLE = {
    "cig": "is a multiplayer game",
    "multi": "is a multiplayer game",
    "multi_duel": "is a multiplayer game",
    "doom": "needs doom.wad, which ViZDoom may not ship",
    "doom2": "needs doom2.wad, which ViZDoom may not ship",
    "oblige": "needs a level made by Oblige",
}
"""Configurations that a single player can't play, and why."""

FIRST_MAP = {"freedoom1": "E1M1"}
"""Maps that configurations fail to name. Freedoom 1 has no ``map01``, the default, with which
ViZDoom 1.3.2 hangs at the second episode."""

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
"""Factors that bring returns near 1 (Sample Factory, sf_examples/vizdoom/doom/doom_utils.py)."""

SHAPING: dict[str, dict[str, float]] = {
    # The reward counts the time alive, and says nothing about the medkits that extend it.
    "health_gathering": {"HEALTH": 1.0},
    "health_gathering_supreme": {"HEALTH": 1.0},
    # There are only 26 cartridges, and nothing on screen tells that a shot was wasted.
    "defend_the_center": {"SELECTED_WEAPON_AMMO": 0.2},
}
"""Potential-based shaping (Ng et al. 1999): the reward for each point gained of a ViZDoom game
variable, and its negative for each one lost. It guides learning, and hardly changes which policy is
best, since over an episode it sums to the difference of the potentials."""

WAIT = "wait"

SINGLE_BUTTONS = (
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
"""Buttons that are an action by themselves, in display order. Modifiers (SPEED, STRAFE), axes
(…_DELTA) and weapon keys are left out: the scenarios can be won without them."""

BUTTON_PAIRS = (
    (vzd.Button.MOVE_FORWARD, vzd.Button.TURN_LEFT),
    (vzd.Button.MOVE_FORWARD, vzd.Button.TURN_RIGHT),
    (vzd.Button.MOVE_FORWARD, vzd.Button.ATTACK),
)
"""Pairs that are an action too: walking in a curve, and shooting while walking."""


@dataclass(frozen=True)
class Scenario:
    """A playable scenario.

    Attributes:
        name: of the configuration file, without its suffix.
        file: the configuration.
        action_names: for display.
        actions: buttons that each action holds, in the scenario's order of buttons.
        timeout_tics: tics after which an episode is truncated; 0: never.
    """

    name: str
    file: Path
    action_names: tuple[str, ...]
    actions: tuple[tuple[bool, ...], ...]
    timeout_tics: int


@cache
def scenario_names() -> tuple[str, ...]:
    """Return the names of the single-player scenarios, sorted."""
    return tuple(
        file.stem
        for file in sorted(Path(vzd.scenarios_path).glob("*.cfg"))
        if file.stem not in UNPLAYABLE
    )


@cache
def load_scenario(name: str) -> Scenario:
    """Read a scenario's configuration, without starting an engine.

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
    """Derive the discrete actions of a scenario: wait, single buttons, and useful pairs.

    Args:
        buttons: of the scenario, in its order.

    Returns:
        The names, and for each the buttons that are down.
    """
    chords: list[tuple[vzd.Button, ...]] = [()]
    chords += [(button,) for button in SINGLE_BUTTONS if button in buttons]
    chords += [pair for pair in BUTTON_PAIRS if set(pair) <= set(buttons)]
    names = tuple(" + ".join(_label(button) for button in chord) or WAIT for chord in chords)
    return names, tuple(tuple(button in chord for button in buttons) for chord in chords)


def _label(button: vzd.Button) -> str:
    return str(button.name).lower().replace("_", " ")
