"""Policy specs of every kind, small enough for fast tests."""

from metabonk.games import ActionKind
from metabonk.policy import PolicySpec

TINY = PolicySpec(
    game="doom:basic", observation_shape=(36, 36, 1), action_names=("left", "right", "attack")
)
OTHER_GAME = TINY.model_copy(update={"game": "doom:take_cover"})
VECTOR = PolicySpec(
    game="gym:Row", observation_shape=(4,), action_names=("left", "right"), network="mlp"
)
RECURRENT = VECTOR.model_copy(update={"memory": 8})
MULTI_DISCRETE = VECTOR.model_copy(
    update={
        "action_names": ("up", "down", "stay", "fire", "wait"),
        "action_kind": ActionKind.MULTI_DISCRETE,
        "action_sizes": (3, 2),
    }
)
CONTINUOUS = VECTOR.model_copy(
    update={"action_names": ("throttle", "wheel"), "action_kind": ActionKind.CONTINUOUS}
)
ALL_SPECS = (TINY, VECTOR, RECURRENT, MULTI_DISCRETE, CONTINUOUS)
"""One spec of every kind."""
