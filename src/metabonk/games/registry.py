"""From a game's id to the game."""

from metabonk.errors import GameError, UnknownGame
from metabonk.games import doom, gym
from metabonk.games.doom import Doom, describe_doom
from metabonk.games.doom_scenarios import scenario_names
from metabonk.games.game import Game, GameDescription
from metabonk.games.gym import GymGame, describe_gym
from metabonk.games.preprocessing import ObservationFn, ObservationSpec, observe
from metabonk.settings.schema import Learning

DOOM = "doom"
GYM = "gym"


def available_games() -> list[str]:
    """The ids of the games that come with MetaBonk; any ``gym:<Gymnasium id>`` besides."""
    return [f"{DOOM}:{name}" for name in scenario_names()]


def make_game(game_id: str, learning: Learning, *, seed: int, eye: ObservationFn = observe) -> Game:
    """Starts a game.

    Args:
        game_id: ``doom:<scenario>`` or ``gym:<Gymnasium id>``, also ``gym:<module>:<id>``.
        learning: what a policy sees of it, and for how many tics it holds a decision in Doom;
            Gymnasium games have their own.
        seed: of everything that is random in it.
        eye: makes a Doom game's observations; Gymnasium's are of small pictures of their own.

    Raises:
        UnknownGame: there is no such game; carries the ids there are.
        GameError: it does not start, or can't be seen in this way.
    """
    kind, name = _parse(game_id)
    if kind == DOOM:
        view = _doom_view(game_id, learning)
        return Doom(name, seed=seed, frame_skip=learning.frame_skip, view=view, eye=eye)
    return GymGame(name, seed=seed, view=_gym_view(learning))


def describe_game(game_id: str, learning: Learning) -> GameDescription:
    """What is known of a game before it starts; no engine runs for it.

    Args:
        game_id: see ``make_game``.
        learning: see ``make_game``.

    Raises:
        UnknownGame: there is no such game.
        GameError: it can't be played here, or can't be seen in this way.
    """
    kind, name = _parse(game_id)
    if kind == DOOM:
        return describe_doom(name, _doom_view(game_id, learning))
    return describe_gym(name, _gym_view(learning))


def _doom_view(game_id: str, learning: Learning) -> ObservationSpec:
    if learning.observation == "vector":
        raise GameError(
            f"{game_id} gives no numbers of itself: learning.observation is 'vector', and Doom "
            "games need 'pixels'"
        )
    return _view(learning, doom.OWN_VIEW)


def _gym_view(learning: Learning) -> ObservationSpec | None:
    return None if learning.observation == "vector" else _view(learning, gym.OWN_VIEW)


def _view(learning: Learning, own: ObservationSpec) -> ObservationSpec:
    return ObservationSpec(
        learning.observation_width or own.width,
        learning.observation_height or own.height,
        learning.grayscale,
    )


def _parse(game_id: str) -> tuple[str, str]:
    kind, _, name = game_id.partition(":")
    if kind == DOOM and name in scenario_names():
        return kind, name
    if kind == GYM and name:
        return kind, name
    raise UnknownGame(game_id, available_games())
