"""The games by id."""

from metabonk.desktop import catalog, retro
from metabonk.desktop.catalog import Entry
from metabonk.errors import GameStartError, UnknownGame
from metabonk.games import desktop, doom, gym
from metabonk.games.atari import AtariGame, atari_interface, describe_atari, is_atari
from metabonk.games.desktop import DesktopGame, describe_desktop, desktop_interface
from metabonk.games.doom import Doom, describe_doom
from metabonk.games.doom_scenarios import scenario_names
from metabonk.games.game import Game, GameDescription
from metabonk.games.gym import GymGame, View, describe_gym, gym_interface
from metabonk.games.interface import EnvInterface, doom_interface
from metabonk.games.preprocessing import ObservationFn, ObservationSpec, observe
from metabonk.settings.env_args import show
from metabonk.settings.learning import Learning

DOOM = "doom"
GYM = "gym"
DESKTOP = "desktop"
RETRO = "retro"


def available_games() -> list[str]:
    """Return the ids of the bundled games; those of other kinds can be played besides."""
    return [f"{DOOM}:{name}" for name in scenario_names()]


def make_game(
    game_id: str,
    learning: Learning,
    *,
    observation_fn: ObservationFn = observe,
    shown: bool = True,
    render_size: tuple[int, int] | None = None,
) -> Game:
    """Start a game.

    Args:
        game_id: ``doom:<scenario>``, ``gym:<Gymnasium id>``, ``gym:<module>:<id>``,
            ``desktop:<name>``, ``desktop:<file>.toml``, ``retro:<game>`` or
            ``retro:<game>:<savestate>``.
        learning: settings of the policy's observation, the environment's arguments, and the frame
            skip of Doom, Atari games and consoles.
        observation_fn: makes the observations of a Doom game.
        shown: viewers may ask for its frames; see ``GymGame``.
        render_size: to begin with, see ``Game.set_render_size``.

    Raises:
        UnknownGame: there is no such game; says what there is instead.
        GameError: it does not start, or can't be observed as configured.
    """
    kind, name = _parse(game_id)
    if kind == DOOM:
        spec = _drawn_spec(game_id, learning, doom.DEFAULT_SPEC)
        return Doom(
            name,
            frame_skip=learning.frame_skip,
            spec=spec,
            observation_fn=observation_fn,
            render_size=render_size,
        )
    if kind in (DESKTOP, RETRO):
        entry = _entry(game_id, learning)
        spec = _drawn_spec(game_id, learning, desktop.default_spec(entry))
        return DesktopGame(entry, spec, learning.frame_stack, render_size=render_size)
    view, arguments = _gym_view(learning), learning.env_args
    if is_atari(name):
        game: GymGame = AtariGame(
            name, frame_skip=learning.frame_skip, view=view, arguments=arguments, shown=shown
        )
    else:
        game = GymGame(name, view=view, arguments=arguments, shown=shown)
    game.set_render_size(render_size)
    return game


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
        return describe_doom(name, _drawn_spec(game_id, learning, doom.DEFAULT_SPEC))
    if kind in (DESKTOP, RETRO):
        entry = _entry(game_id, learning)
        spec = _drawn_spec(game_id, learning, desktop.default_spec(entry))
        return describe_desktop(entry, spec, learning.frame_stack)
    describe = describe_atari if is_atari(name) else describe_gym
    return describe(name, _gym_view(learning), learning.env_args)


def env_interface(game_id: str, learning: Learning) -> EnvInterface:
    """Return the translation between a game's own environment and a policy.

    Args:
        game_id: see ``make_game``.
        learning: see ``make_game``.

    Raises:
        UnknownGame: there is no such game.
        GameError: it can't be played here, or can't be observed as configured.
    """
    kind, name = _parse(game_id)
    if kind == DOOM:
        return doom_interface(name, _drawn_spec(game_id, learning, doom.DEFAULT_SPEC))
    if kind in (DESKTOP, RETRO):
        entry = _entry(game_id, learning)
        spec = _drawn_spec(game_id, learning, desktop.default_spec(entry))
        return desktop_interface(entry, spec, learning.frame_stack)
    interface = atari_interface if is_atari(name) else gym_interface
    return interface(name, _gym_view(learning), learning.env_args)


def _entry(game_id: str, learning: Learning) -> Entry:
    if retro.is_retro(game_id):
        return retro.load(game_id, learning.frame_skip)
    return catalog.load(game_id)


def _drawn_spec(game_id: str, learning: Learning, default: ObservationSpec) -> ObservationSpec:
    if learning.observation == "vector":
        raise GameStartError(
            f"{game_id} has no vector observation: set learning.observation to 'auto' or 'pixels', "
            "not 'vector'"
        )
    if learning.env_args:
        raise GameStartError(
            f"{game_id} takes no arguments, and learning.env_args is {show(learning.env_args)}: "
            "only Gymnasium environments have constructors"
        )
    return _spec(learning, default)


def _gym_view(learning: Learning) -> View:
    is_set = learning.observation_width or learning.observation_height or learning.grayscale
    spec = _spec(learning, gym.DEFAULT_SPEC) if is_set else None
    return View(learning.observation, spec, learning.frame_stack)


def _spec(learning: Learning, default: ObservationSpec) -> ObservationSpec:
    return ObservationSpec(
        learning.observation_width or default.width,
        learning.observation_height or default.height,
        learning.grayscale or default.grayscale,
    )


def _parse(game_id: str) -> tuple[str, str]:
    kind, _, name = game_id.partition(":")
    if kind == DOOM and name in scenario_names():
        return kind, name
    if kind in (GYM, DESKTOP, RETRO) and name:
        return kind, name
    raise UnknownGame(game_id, _available())


def require_known(game_id: str) -> None:
    """Check the name of a game, without starting it.

    Raises:
        UnknownGame: there is none of this name.
    """
    _parse(game_id)


def _available() -> str:
    listed = "\n  ".join(available_games())
    return (
        f"games on this machine are\n  {listed}\n"
        f"  {GYM}:<id>   any Gymnasium environment that renders rgb_array\n"
        f"  {', '.join(f'{DESKTOP}:{name}' for name in catalog.embedded_names())}   desktop games\n"
        f"  {DESKTOP}:<file>.toml   a desktop game of your own\n"
        f"  {RETRO}:<game>   a game of a console, such as {RETRO}:Airstriker-Genesis-v0"
    )
