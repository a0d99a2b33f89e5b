"""Small specs for tests."""

from metabonk.games import ActionKind
from metabonk.policy import PolicySpec

TINY = PolicySpec(
    game="doom:basic", observation_shape=(36, 36, 1), action_names=("left", "right", "attack")
)
OTHER = TINY.model_copy(update={"game": "doom:take_cover"})
NUMBERS = PolicySpec(
    game="gym:Row", observation_shape=(4,), action_names=("left", "right"), network="mlp"
)
REMEMBERING = NUMBERS.model_copy(update={"memory": 8})
CHOICES = NUMBERS.model_copy(
    update={
        "action_names": ("up", "down", "stay", "fire", "wait"),
        "action_kind": ActionKind.MULTI_DISCRETE,
        "action_sizes": (3, 2),
    }
)
AXES = NUMBERS.model_copy(
    update={"action_names": ("throttle", "wheel"), "action_kind": ActionKind.CONTINUOUS}
)
ALL = (TINY, NUMBERS, REMEMBERING, CHOICES, AXES)
"""One of every kind."""
