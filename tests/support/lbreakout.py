"""The flight of LBreakout2's ball."""

import itertools
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metabonk.desktop.engine import Engine

LBREAKOUT = "desktop:lbreakout2"
SPRITES = Path("/usr/share/games/lbreakout2/gfx/ball.png")
TICS = 3


def ball_in(pixels: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Return where the ball is; None where none is in sight."""
    ball = np.array(Image.open(SPRITES).convert("RGB"))[:12, :12]
    mask = np.repeat(ball.max(axis=2, keepdims=True) > 20, 3, axis=2).astype(np.uint8)
    differences = cv2.matchTemplate(pixels, ball, cv2.TM_SQDIFF, mask=mask)
    smallest, _, place, _ = cv2.minMaxLoc(differences)
    return (int(place[0]), int(place[1])) if smallest < 1000 else None


def distances(game: Engine, pause_s: float, *, steps: int) -> list[float]:
    """Return how far the ball flies in each step between two bounces.

    Args:
        game: that has just started.
        pause_s: of the policy.
        steps: of ``TICS`` each.
    """
    game.reset(0)
    places = []
    for _ in range(steps):
        game.step((), TICS)
        places.append(ball_in(game.draw()))
        time.sleep(pause_s)  # The policy decides.
    moves = [
        np.subtract(after, before)
        for before, after in itertools.pairwise(places)
        if before is not None and after is not None and before != after
    ]
    return [
        float(np.hypot(*move))
        for before, move in itertools.pairwise(moves)
        if before @ move > 0.98 * np.hypot(*before) * np.hypot(*move)
    ]
