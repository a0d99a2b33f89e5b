"""Pictures of any size: nothing is cut off, nothing is stretched, small ones keep hard edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabonk.guest.picture import fit, snapshot_of

SIZE = (1280, 720)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (1080, 1920), (360, 640 + 1)])
def test_a_picture_in_the_streams_shape_is_left_alone(height: int, width: int):
    pixels = picture(height, width)
    fitted = fit(pixels, *SIZE)
    assert fitted.shape[:2] == (height, width) or abs(fitted.shape[1] - width) <= 1
    if width != 641:
        assert fitted is pixels


def test_tiny_pictures_become_squares_of_one_size():
    pixels = picture(4, 4)
    fitted = fit(pixels, *SIZE)
    assert fitted.shape == (720, 1280, 3)
    inside = fitted[:, 280:1000]
    assert np.array_equal(inside[90::180, 90::180], pixels)
    assert len(np.unique(inside[:180, :180].reshape(-1, 3), axis=0)) == 1
    assert not fitted[:, :280].any() and not fitted[:, 1000:].any()


def test_an_atari_game_is_enlarged_threefold():
    pixels = picture(210, 160)
    fitted = fit(pixels, *SIZE)
    assert fitted.shape == (720, 1280, 3)
    top, left = (720 - 630) // 2, (1280 - 480) // 2
    assert np.array_equal(fitted[top : top + 630 : 3, left : left + 480 : 3], pixels)


def test_a_picture_of_about_the_size_is_padded_only():
    pixels = picture(400, 600)
    fitted = fit(pixels, *SIZE)
    assert fitted.shape[0] == 400 and fitted.shape[1] / 400 == pytest.approx(16 / 9, abs=0.01)
    left = (fitted.shape[1] - 600) // 2
    assert np.array_equal(fitted[:, left : left + 600], pixels)


def test_a_large_one_is_averaged_first():
    pixels = np.full((2160, 3840, 3), 90, np.uint8)
    fitted = fit(pixels, *SIZE)
    assert fitted.shape == (720, 1280, 3) and (fitted == 90).all()
    assert fit(picture(3, 16_000), *SIZE).nbytes < 30 << 20


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_any_size_comes_out_in_the_streams_shape(height: int, width: int):
    fitted = fit(np.full((height, width, 3), 7, np.uint8), *SIZE)
    tall, wide = fitted.shape[:2]
    assert abs(wide / tall / (16 / 9) - 1) < 0.02 or abs(wide - tall * 16 / 9) <= 2
    assert fitted.any() and fitted.nbytes < 60 << 20


def test_snapshots_are_as_drawn_but_for_tiny_ones():
    pixels = picture(400, 600)
    assert snapshot_of(pixels) is pixels
    tiny = snapshot_of(picture(4, 5))
    assert tiny.shape == (128, 160, 3)
    assert np.array_equal(tiny[::32, ::32], picture(4, 5))
