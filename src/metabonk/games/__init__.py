"""Games that workers play. A library; it knows no process.

``game``            the interface of every game
``preprocessing``   from a drawn frame to the policy's observation
``doom``            ViZDoom scenarios, ``doom:<scenario>``
``doom_scenarios``  the scenarios and the actions of each
``doom_engine``     starting ViZDoom's engine processes
``doom_cleanup``    removing what dead engines left behind
``gym``             any Gymnasium environment that renders ``rgb_array``, ``gym:<id>``
``atari``           games of the Arcade Learning Environment, ``gym:ALE/<Game>-v5``
``gym_catalog``     the packages that well-known environments come from
``gym_environment`` making one, and why one can't be made
``gym_results``     what its methods return, checked
``gym_observation`` an environment's own observation, as an image or a vector
``gym_actions``     its action space
``seeds``           of episodes, and of the policy's choices
``interface``       translation between a policy and an environment that MetaBonk doesn't run
``registry``        from a game's id to the game
``versions``        of the packages that a game consists of
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
from metabonk.games.interface import EnvInterface
from metabonk.games.registry import available_games, describe_game, env_interface, make_game
from metabonk.games.seeds import Purpose, action_seed, episode_seed, episode_seeds
from metabonk.games.versions import game_versions

__all__ = [
    "ActionKind",
    "EnvInterface",
    "FrameSink",
    "Game",
    "GameDescription",
    "Observation",
    "Purpose",
    "Transition",
    "action_seed",
    "available_games",
    "describe_game",
    "env_interface",
    "episode_seed",
    "episode_seeds",
    "game_versions",
    "list_orphans",
    "make_game",
    "remove_orphans",
]
