"""Defaults of learning by kind of game, where the user has set nothing. Pure.

The schema's own defaults are those of Doom. The others are for asynchronous PPO what the tuned
hyperparameters of RL Baselines3 Zoo and CleanRL are for PPO: docs/training.md has their sources.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from metabonk.games import ActionKind, GameDescription
from metabonk.settings.learning import Learning


class GameKind(StrEnum):
    """Kinds of games that learn best with different settings."""

    DOOM = "Doom"
    IMAGES = "images and discrete actions"
    ATARI = "Atari games"
    IMAGES_CONTINUOUS = "images and continuous actions"
    VECTOR = "vector observations and discrete actions"
    VECTOR_CONTINUOUS = "vector observations and continuous actions"


DEFAULTS: Mapping[GameKind, Mapping[str, Any]] = {
    GameKind.DOOM: {},
    GameKind.IMAGES: {},
    GameKind.ATARI: {
        "rollout_steps": 128,
        "num_minibatches": 4,
        "learning_rate": 2.5e-4,
        "clip_range": 0.1,
        "value_clip_range": 0.0,
        "max_grad_norm": 0.5,
    },
    GameKind.IMAGES_CONTINUOUS: {"entropy_coefficient": 0.0},
    GameKind.VECTOR: {
        "batch_size": 512,
        "epochs": 8,
        "num_minibatches": 4,
        "learning_rate": 7e-4,
        "value_clip_range": 0.0,
        "max_grad_norm": 0.5,
    },
    GameKind.VECTOR_CONTINUOUS: {
        "batch_size": 512,
        "epochs": 10,
        "num_minibatches": 4,
        "gamma": 0.98,
        "gae_lambda": 0.92,
        "value_clip_range": 0.0,
        "entropy_coefficient": 0.0,
        "max_grad_norm": 0.5,
    },
}
"""Settings of ``Learning`` that differ from the schema's defaults, by name."""


def kind_of(game: GameDescription) -> GameKind:
    """Return the kind of a game."""
    is_continuous = game.action_kind is ActionKind.CONTINUOUS
    if len(game.observation_shape) == 1:
        return GameKind.VECTOR_CONTINUOUS if is_continuous else GameKind.VECTOR
    if game.id.startswith("doom:"):
        return GameKind.DOOM
    if "ALE/" in game.id:
        return GameKind.ATARI
    return GameKind.IMAGES_CONTINUOUS if is_continuous else GameKind.IMAGES


def with_defaults(learning: Learning, game: GameDescription) -> Learning:
    """Return settings with the defaults of the game's kind where nothing was set.

    All of them count as set then, so that a run keeps what it was trained with.
    """
    defaults = DEFAULTS[kind_of(game)]
    unset = {
        name: value for name, value in defaults.items() if name not in learning.model_fields_set
    }
    return Learning.model_validate({**dict(learning), **unset})


def describe_defaults(learning: Learning, game: GameDescription) -> str:
    """Return a line about the defaults that ``with_defaults`` fills in.

    Args:
        learning: before ``with_defaults``.
        game: that is learned.
    """
    kind = kind_of(game)
    unset = Learning.model_fields.keys() - learning.model_fields_set
    values = with_defaults(learning, game)
    listed = ", ".join(f"{name} {getattr(values, name)}" for name in TUNED if name in unset)
    return f"learning defaults for {kind}: {listed or 'none, since all are set'}"


TUNED = tuple(
    name for name in Learning.model_fields if any(name in each for each in DEFAULTS.values())
)
"""Names of the settings whose default depends on the kind of game, in the schema's order."""
