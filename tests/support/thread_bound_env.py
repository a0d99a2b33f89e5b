"""An environment that is bound to the thread that made it, as one with an OpenGL context is."""

import threading
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

trespasses: list[str] = []
"""Calls on another thread."""


class ThreadBound(gymnasium.Env[Any, Any]):
    """Counts to ten."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 10, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._thread = threading.get_ident()
        self._count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self._check("reset")
        super().reset(seed=seed)
        self._count = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._check("step")
        self._count += 1
        return self._observation(), 1.0, self._count == 10, False, {}

    def render(self) -> Any:
        self._check("render")
        return np.full((72, 128, 3), 20 * self._count, np.uint8)

    def close(self) -> None:
        self._check("close")

    def _observation(self) -> Any:
        return np.full(1, self._count, np.float32)

    def _check(self, call: str) -> None:
        if threading.get_ident() != self._thread:
            trespasses.append(call)


gymnasium.register("ThreadBound-v0", entry_point=ThreadBound)
