"""From a game's id to the game."""

from metabonk.errors import UnknownGame
from metabonk.games.doom import Doom, describe_doom
from metabonk.games.game import Game, GameDescription
from metabonk.games.gym import GymGame, describe_gym
from metabonk.games.scenarios import scenario_names

DOOM = "doom"
GYM = "gym"


def available_games() -> list[str]:
    """The ids of the games that come with MetaBonk; any ``gym:<Gymnasium id>`` besides."""
    return [f"{DOOM}:{name}" for name in scenario_names()]


def make_game(game_id: str, *, seed: int, frame_skip: int) -> Game:
    """Starts a game.

    Args:
        game_id: ``doom:<scenario>`` or ``gym:<Gymnasium id>``, also ``gym:<module>:<id>``.
        seed: of everything that is random in it.
        frame_skip: tics that a decision is held, in Doom; Gymnasium games have their own.

    Raises:
        UnknownGame: there is no such game; carries the ids there are.
        GameError: it does not start.
    """
    kind, name = _parse(game_id)
    if kind == DOOM:
        return Doom(name, seed=seed, frame_skip=frame_skip)
    return GymGame(name, seed=seed)


def describe_game(game_id: str) -> GameDescription:
    """What is known of a game before it starts; no engine runs for it.

    Raises:
        UnknownGame: there is no such game.
        GameError: it can't be played here.
    """
    kind, name = _parse(game_id)
    return describe_doom(name) if kind == DOOM else describe_gym(name)


def _parse(game_id: str) -> tuple[str, str]:
    kind, _, name = game_id.partition(":")
    if kind == DOOM and name in scenario_names():
        return kind, name
    if kind == GYM and name:
        return kind, name
    raise UnknownGame(game_id, available_games())
