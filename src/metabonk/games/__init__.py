"""Games that workers play. A library; it knows no process.

``game``            the interface of every game
``preprocessing``   from a drawn frame to the policy's observation
``doom``            ViZDoom scenarios, ``doom:<scenario>``
``doom_scenarios``  the scenarios and the actions of each
``doom_engine``     starting ViZDoom's engine processes
``doom_cleanup``    removing what dead engines left behind
``gym``             any Gymnasium environment that renders ``rgb_array``, ``gym:<id>``
``registry``        from a game's id to the game
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
