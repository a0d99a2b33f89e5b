"""Images of environments as frames."""

from typing import Any

import numpy as np
import pytest

from metabonk.broadcast.pixels import as_frame, fit_bytes

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


def test_a_frame_that_is_too_large_loses_every_second_row_and_column():
    assert fit_bytes(COLOR, COLOR.nbytes) is COLOR
    assert np.array_equal(fit_bytes(COLOR, COLOR.nbytes - 1), COLOR[::2, ::2])
    assert np.array_equal(fit_bytes(COLOR, 27), COLOR[::4, ::4])
    assert fit_bytes(COLOR, 27).flags["C_CONTIGUOUS"]
