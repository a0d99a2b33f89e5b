"""Games: what workers play. A library; it knows no process.

``game``       the contract every game keeps
``doom``       ViZDoom scenarios, ``doom:<scenario>``
``scenarios``  which of them there are, and what the player can do in each
``engine``     starts ViZDoom's engine processes
``sweep``      removes what dead engines left behind
``gym``        any Gymnasium environment that renders ``rgb_array``, ``gym:<id>``
``spaces``     what Gymnasium's spaces are to a policy
``picture``    from the drawn picture to the policy's observation
``catalogue``  from a game's id to the game
"""

from metabonk.games.doom_cleanup import list_orphans, remove_orphans
from metabonk.games.game import (
    ActionKind,
    FrameSink,
    Game,
    GameDescription,
    Observation,
    Transition,
)
from metabonk.games.registry import available_games, describe_game, make_game

__all__ = [
    "ActionKind",
    "FrameSink",
    "Game",
    "GameDescription",
    "Observation",
    "Transition",
    "available_games",
    "describe_game",
    "list_orphans",
    "make_game",
    "remove_orphans",
]
