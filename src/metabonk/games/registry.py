"""The games by id."""

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
    """Return the ids of the bundled games; any ``gym:<Gymnasium id>`` can be played besides."""
    return [f"{DOOM}:{name}" for name in scenario_names()]


def make_game(
    game_id: str, learning: Learning, *, seed: int, observation_fn: ObservationFn = observe
) -> Game:
    """Start a game.

    Args:
        game_id: ``doom:<scenario>``, ``gym:<Gymnasium id>`` or ``gym:<module>:<id>``.
        learning: settings of the policy's observation, and of the frame skip of Doom games.
        seed: of everything random in the game.
        observation_fn: makes the observations of a Doom game.

    Raises:
        UnknownGame: there is no such game; carries the available ids.
        GameError: it does not start, or can't be observed as configured.
    """
    kind, name = _parse(game_id)
    if kind == DOOM:
        spec = _doom_spec(game_id, learning)
        return Doom(
            name,
            seed=seed,
            frame_skip=learning.frame_skip,
            spec=spec,
            observation_fn=observation_fn,
        )
    return GymGame(name, seed=seed, spec=_gym_spec(learning))


def describe_game(game_id: str, learning: Learning) -> GameDescription:
    """Describe a game without starting an engine.

    Args:
        game_id: see ``make_game``.
        learning: see ``make_game``.

    Raises:
        UnknownGame: there is no such game.
        GameError: it can't be played here, or can't be observed as configured.
    """
    kind, name = _parse(game_id)
    if kind == DOOM:
        return describe_doom(name, _doom_spec(game_id, learning))
    return describe_gym(name, _gym_spec(learning))


def _doom_spec(game_id: str, learning: Learning) -> ObservationSpec:
    if learning.observation == "vector":
        raise GameError(
            f"{game_id} has no vector observation: set learning.observation to 'pixels', not "
            "'vector', for Doom games"
        )
    return _spec(learning, doom.DEFAULT_SPEC)


def _gym_spec(learning: Learning) -> ObservationSpec | None:
    return None if learning.observation == "vector" else _spec(learning, gym.DEFAULT_SPEC)


def _spec(learning: Learning, default: ObservationSpec) -> ObservationSpec:
    return ObservationSpec(
        learning.observation_width or default.width,
        learning.observation_height or default.height,
        learning.grayscale,
    )


def _parse(game_id: str) -> tuple[str, str]:
    kind, _, name = game_id.partition(":")
    if kind == DOOM and name in scenario_names():
        return kind, name
    if kind == GYM and name:
        return kind, name
    raise UnknownGame(game_id, available_games())
