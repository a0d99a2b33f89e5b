"""Making a Gymnasium environment, and saying why one can't be made or broke."""

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator

from metabonk.errors import GameStartError
from metabonk.games.gym_catalog import import_package, not_registered
from metabonk.games.gym_results import BadResult, describe
from metabonk.settings.env_args import EnvArgs, show
from metabonk.settings.environment import draw_without_display

log = logging.getLogger(__name__)

RENDER_MODE = "rgb_array"

GL_HINTS = ("egl", "glfw", "opengl", "glx", "osmesa", "glgeterror", "display")
GL_ADVICE = (
    "Without a display, MuJoCo renders with MUJOCO_GL=egl in the environment (needs a GPU's driver "
    "or Mesa: apt install libegl1), or else MUJOCO_GL=osmesa (apt install libosmesa6)"
)


def make_environment(name: str, arguments: EnvArgs) -> gymnasium.Env[Any, Any]:
    """Make an environment that renders ``rgb_array``.

    Args:
        name: Gymnasium id; ``module:id`` imports the module first.
        arguments: for its constructor.

    Raises:
        UnknownGame: no such id is registered.
        GameStartError: it can't be made, or renders no ``rgb_array``.
    """
    draw_without_display()
    import_package(name)
    # The checker rejects environments that differ in what doesn't matter here, such as an info
    # that is no dict.
    options = {"disable_env_checker": True, **arguments}
    try:
        environment = _make(name, options)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        raise not_registered(name, error) from None
    except Exception as error:  # Other people's code may raise anything.
        log.error("gym:%s can't be created", name, exc_info=error)
        raise GameStartError(_why_not_created(name, arguments, error)) from None
    metadata = environment.metadata
    modes = metadata.get("render_modes") or metadata.get("render.modes")  # The latter is Gym's.
    if modes and RENDER_MODE not in modes:
        close(name, environment)
        raise GameStartError(
            f"gym:{name} does not support render_mode={RENDER_MODE!r}, which viewers need"
        )
    for attribute in ("action_space", "observation_space"):
        space = getattr(environment, attribute, None)
        if not isinstance(space, gymnasium.Space):
            close(name, environment)
            raise GameStartError(
                f"gym:{name} has {describe(space)} as its {attribute}, but needs a space of "
                "gymnasium.spaces"
            )
    return environment


@contextmanager
def opened(name: str, arguments: EnvArgs) -> Iterator[gymnasium.Env[Any, Any]]:
    """Make an environment, and close it again; see ``make_environment``."""
    environment = make_environment(name, arguments)
    try:
        yield environment
    finally:
        close(name, environment)


def close(name: str, environment: gymnasium.Env[Any, Any]) -> None:
    """Close an environment; one that breaks in doing so is logged, since it is not needed again."""
    try:
        environment.close()
    except Exception as error:  # Other people's code may raise anything.
        log.warning("gym:%s broke in close", name, exc_info=error)


def explain(error: Exception) -> str:
    """Return an exception's own words, and the line that helps where it is known."""
    if isinstance(error, BadResult):
        return str(error)
    words = f"{type(error).__name__}: {error}".rstrip(": .")
    return f"{words}. {GL_ADVICE}" if _is_about_gl(words) else words


def _make(name: str, options: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    try:
        return gymnasium.make(name, render_mode=RENDER_MODE, **options)
    except TypeError as error:
        if "unexpected keyword argument 'render_mode'" not in str(error):
            raise
    return gymnasium.make(name, **options)  # What ``render`` returns is seen when it is called.


def _why_not_created(name: str, arguments: EnvArgs, error: Exception) -> str:
    # Gymnasium appends all keywords.
    words = explain(error).partition(" was raised from the environment creator")[0]
    if arguments:
        takes = _keywords(name) if "keyword argument" in words else []
        known = f". Its constructor takes {', '.join(takes)}" if takes else ""
        return f"gym:{name} can't be created with {show(arguments)}: {words}{known}"
    if _is_about_gl(words):
        return f"gym:{name} can't be created: {words}"
    return (
        f"gym:{name} can't be created: {words}. Install what it needs into MetaBonk's environment, "
        "or choose another game"
    )


def _is_about_gl(words: str) -> bool:
    return any(hint in words.lower() for hint in GL_HINTS)


def _keywords(name: str) -> list[str]:
    """Return the names of the constructor's arguments, without the mode of rendering."""
    entry_point = gymnasium.spec(name.rpartition(":")[2]).entry_point
    if entry_point is None:
        return []
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    parameters = inspect.signature(creator).parameters.values()
    return [
        "…" if each.kind is each.VAR_KEYWORD else each.name
        for each in parameters
        if each.kind is not each.VAR_POSITIONAL and each.name != "render_mode"
    ]
