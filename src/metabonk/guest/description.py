"""Words of a guest about an announced environment. Pure."""

import json

from metabonk.broadcast.announcement import Announcement, Recipe


def game_of(announcement: Announcement) -> str:
    """Return the environment's id; the guest's name where it has none."""
    if announcement.recipe is None:
        return announcement.name
    try:
        return str(json.loads(announcement.recipe.spec)["id"])
    except (ValueError, TypeError, KeyError):
        return announcement.name


def modules_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the modules that a copy of an environment imports, as far as that can be told."""
    try:
        module = str(json.loads(recipe.spec)["entry_point"]).partition(":")[0]
    except (ValueError, TypeError, KeyError):
        return ()
    # Gymnasium's own environments import it when they are drawn.
    return (module, "pygame") if module.startswith("gymnasium.") else (module,)


def why_not_inline(announcement: Announcement) -> str:
    """Return why a trainer can't draw its environment, as a sentence; empty if it can."""
    if announcement.draws_inline:
        return ""
    if announcement.draw == "shadow":
        return "it is not drawn in its trainer, since its draw is 'shadow'"
    return "it can't be drawn in its trainer, since it was made without render_mode='rgb_array'"
