"""A Gymnasium environment of your own: catch the falling ball.

Train a fleet on it from the root of the checkout::

    PYTHONPATH=examples/own_environment ./start --mode train --workers 2 --game gym:catch:Catch-v0

``gym:MODULE:ID`` makes every worker import MODULE, which registers ID. MetaBonk needs three things
of an environment: a ``render_mode`` of ``rgb_array``; actions that are Discrete, MultiDiscrete,
MultiBinary or a Box of floats; and a reward. The policy sees the observation, if that is an image
or consists of numbers; with ``METABONK_LEARNING_OBSERVATION=pixels`` it sees drawn frames.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

ROWS, COLUMNS = 7, 7
CELL_PX = 40
BACKGROUND, BALL, PADDLE = (24, 26, 32), (255, 196, 0), (64, 160, 255)


class Catch(gymnasium.Env[NDArray[np.float32], np.int64]):
    """A ball falls one row a step; the paddle has to be below it when it lands.

    The reward is 1 for a catch and -1 for a miss, at the end of the episode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's name)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.action_space = spaces.Discrete(3)
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self._row = self._column = self._paddle = 0

    def get_action_meanings(self) -> list[str]:
        """Names of the actions, shown beside the stream."""
        return ["left", "stay", "right"]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Drop a new ball, above a random column."""
        super().reset(seed=seed)
        self._row, self._paddle = 0, COLUMNS // 2
        self._column = int(self.np_random.integers(COLUMNS))
        return self._observation(), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move the paddle by one column and the ball by one row."""
        self._paddle = int(np.clip(self._paddle + int(action) - 1, 0, COLUMNS - 1))
        self._row += 1
        landed = self._row == ROWS - 1
        caught = self._paddle == self._column
        reward = (1.0 if caught else -1.0) if landed else 0.0
        return self._observation(), reward, landed, False, {}

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override] # Gymnasium allows any frame
        """Draw the board, ``H×W×3`` uint8 RGB."""
        board = np.full((ROWS, COLUMNS, 3), BACKGROUND, np.uint8)
        board[self._row, self._column] = BALL
        board[ROWS - 1, self._paddle] = PADDLE
        return board.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)

    def _observation(self) -> NDArray[np.float32]:
        place = (
            self._row / (ROWS - 1),
            self._column / (COLUMNS - 1),
            self._paddle / (COLUMNS - 1),
        )
        return 2 * np.array(place, np.float32) - 1


gymnasium.register("Catch-v0", entry_point=Catch)
