"""Scaling of frames for the policy and for viewers."""

import numpy as np
import pytest

from metabonk.games.preprocessing import ObservationSpec, letterbox, preprocess


@pytest.mark.parametrize("factor", [2, 5, 10])
def test_downscaling_averages_areas(factor: int):
    pixels = np.random.default_rng(0).integers(0, 256, (4 * factor, 6 * factor, 3), np.uint8)
    areas = pixels.reshape(4, factor, 6, factor, 3).mean((1, 3))
    observation = preprocess(pixels, ObservationSpec(6, 4))
    assert observation.shape == (4, 6, 3)
    assert observation.dtype == np.uint8
    assert np.abs(observation - areas).max() <= 1


def test_a_size_that_is_not_a_multiple_is_scaled():
    pixels = np.zeros((400, 600, 3), np.uint8)
    pixels[:, 300:] = 200
    observation = preprocess(pixels, ObservationSpec(84, 84))
    assert observation.shape == (84, 84, 3)
    assert (observation[:, :41] == 0).all()
    assert (observation[:, 43:] == 200).all()


def test_an_observation_is_a_contiguous_copy():
    pixels = np.zeros((20, 20, 3), np.uint8)
    observation = preprocess(pixels, ObservationSpec(10, 10))
    assert observation.flags.c_contiguous
    observation[:] = 1
    assert pixels.max() == 0


def test_letterboxing_keeps_the_aspect_ratio_and_pads_with_black():
    image = letterbox(np.full((100, 100, 3), 255, np.uint8), 320, 180)
    assert image.shape == (180, 320, 3)
    assert (image[:, 70:250] == 255).all()
    assert (image[:, :70] == 0).all()
    assert (image[:, 250:] == 0).all()


def test_grayscale_observations_are_luminance():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = (0, 255, 0)
    pixels[:, 4:] = (0, 0, 255)
    observation = preprocess(pixels, ObservationSpec(2, 1, grayscale=True))
    assert observation.shape == (1, 2, 1)
    green, blue = observation[0, :, 0]
    assert green == pytest.approx(150, abs=1)
    assert blue == pytest.approx(29, abs=1)
