"""An environment with the less common spaces: an image to stack, and choices with starts."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

GAME = "gym:tests.support.odd_environment:Odd-v0"
LENGTH = 12


class Odd(gymnasium.Env[NDArray[np.uint8], NDArray[np.int64]]):
    """Shows noise, and rewards the sum of the choices."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
        self.action_space = spaces.MultiDiscrete([[2, 3]], start=[[5, -1]])
        self._left = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self._left = LENGTH
        return self._image(), {}

    def step(self, action: NDArray[np.int64]) -> Any:
        assert self.action_space.contains(action)
        self._left -= 1
        return self._image(), float(action.sum()), self._left == 0, False, {}

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        return np.zeros((36, 36, 3), np.uint8)

    def _image(self) -> NDArray[np.uint8]:
        return self.np_random.integers(0, 256, (36, 36, 1), np.uint8)


gymnasium.register("Odd-v0", Odd)
