"""Environments that no seed repeats, of which one says what else it takes."""

from itertools import count
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

GAME = "gym:tests.support.unrepeatable:Lucky-v0"
CARRYING_GAME = "gym:tests.support.unrepeatable:Carrying-v0"

LUCK = count(1)


class Lucky(gymnasium.Env[Any, Any]):
    """Rewards by what no seed tells: how many episodes there were in this process."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._left = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._left, self._luck = 5, next(LUCK)
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._left -= 1
        reward = float(self._luck if self._left == 2 else 1)
        return np.zeros(1, np.float32), reward, self._left == 0, False, {}

    def render(self) -> Any:
        return np.zeros((72, 128, 3), np.uint8)


gymnasium.register("Lucky-v0", Lucky)


class Carrying(Lucky):
    """Rewards by how often it was reset, which it says to have carried over."""

    _resets = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        answer = super().reset(seed=seed)
        self._resets += 1
        self._luck = self._resets
        return answer

    def get_carried_state(self) -> bytes:
        return b"%d" % self._resets

    def set_carried_state(self, state: bytes) -> None:
        self._resets = int(state)


gymnasium.register("Carrying-v0", Carrying)
