"""An environment whose rewards tell the time, which nothing repeats."""

import time
from typing import Any

import gymnasium
import numpy as np

ID = "Clocked-v0"
HONEST_STEPS = 3
"""Steps of an episode before the first that differs."""


class Clocked(gymnasium.Env[int, int]):
    """Gives the time as its reward from the fourth step on, and prints whenever it is drawn."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._steps = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        return 0, time.time() if self._steps > HONEST_STEPS else 1.0, False, False, {}

    def render(self) -> Any:
        print("drawn")
        return np.full((4, 4, 3), self._steps % 256, np.uint8)


gymnasium.register(ID, Clocked)
