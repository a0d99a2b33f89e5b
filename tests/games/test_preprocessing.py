"""Frames for the policy and for viewers."""

from typing import Any

import cv2
import numpy as np
import pytest

from metabonk.games.preprocessing import (
    ObservationSpec,
    as_rgb,
    letterbox,
    preprocess,
    scale,
    with_action,
)


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
    image = letterbox(np.full((90, 90, 3), 255, np.uint8), 320, 180)
    assert image.shape == (180, 320, 3)
    assert (image[:, 70:250] == 255).all()
    assert (image[:, :70] == 0).all()
    assert (image[:, 250:] == 0).all()


def test_a_frame_that_needs_little_enlarging_is_left_to_the_encoder():
    pixels = np.random.default_rng(0).integers(1, 256, (100, 100, 3), np.uint8)
    image = letterbox(pixels, 320, 180)
    assert image.shape == (100, 178, 3)
    assert np.array_equal(image[:, 39:139], pixels)
    assert (image[:, :39] == 0).all() and (image[:, 139:] == 0).all()


def test_grayscale_observations_are_luminance():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = (0, 255, 0)
    pixels[:, 4:] = (0, 0, 255)
    observation = preprocess(pixels, ObservationSpec(2, 1, grayscale=True))
    assert observation.shape == (1, 2, 1)
    green, blue = observation[0, :, 0]
    assert green == pytest.approx(150, abs=1)
    assert blue == pytest.approx(29, abs=1)


@pytest.mark.parametrize(
    "rendered",
    [
        np.full((4, 6), 128, np.uint8),
        np.full((4, 6, 1), 128, np.int64),
        np.full((4, 6, 4), 128, np.uint8),
        np.full((4, 6, 3), 128 / 255, np.float32),
        np.full((4, 6, 3), 128.2, np.float32),
        np.full((6, 4, 3), 128, np.uint8).transpose(1, 0, 2),
        np.full((4, 6, 3), 128, np.uint8)[::-1, ::-1],
    ],
)
def test_frames_of_any_kind_are_drawn_in_rgb(rendered: Any):
    frame = as_rgb(rendered)
    assert frame.shape == (4, 6, 3)
    assert frame.dtype == np.uint8 and frame.flags["C_CONTIGUOUS"]
    assert (frame == 128).all()


@pytest.mark.parametrize(
    ("rendered", "words"),
    [
        (None, "NoneType"),
        ([np.zeros((2, 2, 3))], "list"),
        (np.zeros((2, 2, 5), np.uint8), r"uint8 \(2, 2, 5\)"),
        (np.zeros((2, 2, 3), np.complex64), "complex64"),
        (np.zeros((0, 2, 3), np.float32), r"float32 \(0, 2, 3\)"),
    ],
)
def test_what_is_no_image_is_named(rendered: Any, words: str):
    with pytest.raises(ValueError, match=words):
        as_rgb(rendered)


def test_black_and_white_frames_and_missing_values_are_drawn():
    assert as_rgb(np.array([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]
    assert as_rgb(np.array([[1.0, np.nan]])).tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize("channels", [1, 3, 4, 12])
def test_images_of_any_depth_are_scaled_channel_by_channel(channels: int):
    image = np.random.default_rng(0).integers(0, 256, (210, 160, channels), np.uint8)
    scaled = scale(image, 84, 84)
    assert scaled.shape == (84, 84, channels)
    assert scaled.dtype == np.uint8 and scaled.flags.c_contiguous
    for channel in range(channels):
        alone = cv2.resize(image[:, :, channel].copy(), (84, 84), interpolation=cv2.INTER_AREA)
        assert np.array_equal(scaled[:, :, channel], alone)


def test_a_view_of_an_image_is_scaled():
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    flipped = image[::-1, :, ::-1]
    assert np.array_equal(scale(flipped, 40, 30), scale(flipped.copy(), 40, 30))


def test_an_image_of_the_right_size_is_copied():
    image = np.zeros((10, 10, 1), np.uint8)
    scale(image, 10, 10)[:] = 1
    assert image.max() == 0


def test_an_image_may_be_enlarged():
    image = np.array([[[10], [20]]], np.uint8)
    assert scale(image, 4, 2)[:, :, 0].tolist() == [[10, 10, 20, 20]] * 2


@pytest.mark.parametrize(("count", "side"), [(2, 2), (4, 2), (5, 3), (256, 16)])
def test_every_action_has_a_cell_of_its_own(count: int, side: int):
    image = np.full((36, 40, 3), 7, np.uint8)
    assert not with_action(image, None, count)[:, :, 3].any()
    planes = [with_action(image, action, count) for action in range(count)]
    assert all((each[:, :, :3] == 7).all() for each in planes)
    white = np.array([each[:, :, 3] == 255 for each in planes])
    assert white.sum(axis=0).max() == 1
    assert white.sum(axis=(1, 2)).min() >= (36 // side) * (40 // side)
