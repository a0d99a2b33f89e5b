"""States that episodes start from."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from metabonk.broadcast.carried import Carrier, restore
from metabonk.broadcast.values import decode, encode
from metabonk.errors import WireError


class Counting(gymnasium.Env[Any, Any]):
    """Counts its episodes, and carries that into the next."""

    def __init__(self) -> None:
        self.episodes = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.episodes += 1
        return self.episodes, {"luck": self.np_random.random()}

    def get_carried_state(self) -> bytes:
        return self.episodes.to_bytes(4, "little")

    def set_carried_state(self, state: bytes) -> None:
        self.episodes = int.from_bytes(state, "little")


@pytest.mark.parametrize("seed", [None, 5])
def test_the_next_reset_is_the_same_in_a_copy(seed: int | None):
    there, here = Counting(), Counting()
    for _ in range(3):
        there.reset()
    carried = decode(encode(Carrier(there).capture(seed)))
    restore(here, carried)
    assert here.reset(seed=seed) == there.reset(seed=seed)
    assert here.reset() == there.reset()


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.SFC64])
def test_any_bit_generator_is_carried(kind: Any):
    there, here = Counting(), Counting()
    there.np_random = np.random.Generator(kind(7))
    restore(here, decode(encode(Carrier(there).capture(None))))
    assert here.reset()[1] == there.reset()[1]


def test_to_look_at_a_state_does_not_change_it():
    one, other = (gymnasium.make("CartPole-v1") for _ in range(2))
    for each in (one, other):
        each.reset(seed=3)
    Carrier(one).capture(None)
    assert np.array_equal(one.reset()[0], other.reset()[0])


@pytest.mark.parametrize(
    "carried",
    [
        {"np_random": 1},
        {"np_random": {}},
        {"np_random": {"bit_generator": "PCG64", "state": "none"}},
        {"np_random": {"bit_generator": "BitGenerator"}},
        {"ale": 7},
    ],
)
def test_a_damaged_state_is_an_error(carried: dict[str, Any]):
    with pytest.raises(WireError, match="the state that the episode starts from is damaged"):
        restore(Counting(), carried)
