"""From a game's id to the game."""

from typing import Literal

from metabonk.errors import GameError, UnknownGame
from metabonk.games.doom import Doom, describe_doom
from metabonk.games.game import Game, GameDescription
from metabonk.games.gym import GymGame, describe_gym
from metabonk.games.scenarios import scenario_names

DOOM = "doom"
GYM = "gym"

Seen = Literal["pixels", "vector"]
"""What a policy is shown: the picture, or the numbers that an environment gives of itself."""


def available_games() -> list[str]:
    """The ids of the games that come with MetaBonk; any ``gym:<Gymnasium id>`` besides."""
    return [f"{DOOM}:{name}" for name in scenario_names()]


def make_game(game_id: str, *, seed: int, frame_skip: int, observation: Seen = "pixels") -> Game:
    """Starts a game.

    Args:
        game_id: ``doom:<scenario>`` or ``gym:<Gymnasium id>``, also ``gym:<module>:<id>``.
        seed: of everything that is random in it.
        frame_skip: tics that a decision is held, in Doom; Gymnasium games have their own.
        observation: what the policy is shown.

    Raises:
        UnknownGame: there is no such game; carries the ids there are.
        GameError: it does not start, or can't be shown in this way.
    """
    kind, name = _parse(game_id)
    if kind == DOOM:
        _require_pixels(game_id, observation)
        return Doom(name, seed=seed, frame_skip=frame_skip)
    return GymGame(name, seed=seed, vector=observation == "vector")


def describe_game(game_id: str, *, observation: Seen = "pixels") -> GameDescription:
    """What is known of a game before it starts; no engine runs for it.

    Raises:
        UnknownGame: there is no such game.
        GameError: it can't be played here, or can't be shown in this way.
    """
    kind, name = _parse(game_id)
    if kind == DOOM:
        _require_pixels(game_id, observation)
        return describe_doom(name)
    return describe_gym(name, vector=observation == "vector")


def _require_pixels(game_id: str, observation: Seen) -> None:
    if observation != "pixels":
        raise GameError(
            f"{game_id} gives no numbers of itself: learning.observation is {observation!r}, and "
            "Doom games need 'pixels'"
        )


def _parse(game_id: str) -> tuple[str, str]:
    kind, _, name = game_id.partition(":")
    if kind == DOOM and name in scenario_names():
        return kind, name
    if kind == GYM and name:
        return kind, name
    raise UnknownGame(game_id, available_games())
