"""Images of environments as frames."""

from typing import Any

import numpy as np
import pytest

from metabonk.broadcast.pixels import as_frame

COLOR = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
GRAY = COLOR[:, :, 0]


@pytest.mark.parametrize(
    ("image", "frame"),
    [
        (COLOR, COLOR),
        (np.moveaxis(COLOR, 2, 0), COLOR),
        (GRAY, np.stack([GRAY] * 3, 2)),
        (GRAY[:, :, None], np.stack([GRAY] * 3, 2)),
        (GRAY[None], np.stack([GRAY] * 3, 2)),
        (np.stack([0 * GRAY, GRAY, 0 * GRAY, GRAY], 2), np.stack([GRAY] * 3, 2)),
        (np.stack([0 * GRAY, 0 * GRAY, 0 * GRAY, GRAY], 0), np.stack([GRAY] * 3, 2)),
        (COLOR.tolist(), None),
        (COLOR[::-1, ::2], COLOR[::-1, ::2]),
    ],
)
def test_color_gray_and_stacked_images_are_frames(image: Any, frame: Any):
    if frame is None:
        with pytest.raises(ValueError, match="int64"):
            as_frame(image)
        return
    shown = as_frame(image)
    assert np.array_equal(shown, frame)
    assert shown.flags["C_CONTIGUOUS"] and shown.dtype == np.uint8


@pytest.mark.parametrize(
    "image", [None, "image", np.zeros((0, 3, 3), np.uint8), np.zeros(5, np.uint8), COLOR / 255]
)
def test_other_things_are_named(image: Any):
    with pytest.raises(ValueError, match="an image of shape"):
        as_frame(image)
