"""Small specs for tests."""

from metabonk.policy import PolicySpec

TINY = PolicySpec(
    game="doom:basic", observation_shape=(1, 36, 36), action_names=("left", "right", "attack")
)
OTHER = TINY.model_copy(update={"game": "doom:take_cover"})
