"""Refusal of a game that there is not, before anything is started.

Imports games only to say which ones there are: that takes half a second, and starts don't wait.
"""

import importlib
import importlib.util
from pathlib import Path

ANY_NAME = ("gym", "desktop", "retro")
"""Kinds of games with names of all sorts."""


def require_game(game_id: str) -> None:
    """Check the name of a game.

    Gymnasium environments that name their module, desktop games and games of consoles are checked
    later.

    Raises:
        UnknownGame: there is none of this name.
    """
    kind, _, name = game_id.partition(":")
    if name and (kind in ANY_NAME or (kind == "doom" and _has_scenario(name))):
        if kind == "gym" and not _may_have_environment(name):
            importlib.import_module("metabonk.games.gym_catalog").require_registered(name)
        return
    importlib.import_module("metabonk.games.registry").require_known(game_id)


def _has_scenario(name: str) -> bool:
    """Look for a scenario of ViZDoom without importing it."""
    spec = importlib.util.find_spec("vizdoom")
    if spec is None or spec.origin is None:
        return True  # Whatever needs ViZDoom says that it is missing.
    return (Path(spec.origin).parent / "scenarios" / f"{name}.cfg").is_file()


def _may_have_environment(name: str) -> bool:
    """Look for an environment among those of Gymnasium without importing it."""
    spec = importlib.util.find_spec("gymnasium")
    if ":" in name or spec is None or spec.origin is None:
        return True
    registrations = Path(spec.origin).parent / "envs" / "__init__.py"
    return f'id="{name}"' in registrations.read_text(encoding="utf-8")
