"""Observations made on a device, held against those of host memory.

Here the device is the processor; ``tests/gpu`` asks the same of a real GPU.
"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metabonk.games.preprocessing import ObservationSpec, observe
from metabonk.policy.device_observation import DeviceObservation, DeviceObserver, observe_there

CPU = torch.device("cpu")
DOOM = ObservationSpec(128, 72)


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("grayscale", [False, True])
@pytest.mark.parametrize(
    ("size", "view"),
    [
        ((1280, 720), (128, 72)),
        ((640, 360), (128, 72)),
        ((256, 144), (128, 72)),
        ((1280, 720), (84, 84)),
        ((1024, 576), (128, 72)),
        ((160, 90), (50, 77)),
        ((64, 36), (128, 72)),
    ],
)
def test_it_is_the_observation_of_host_memory_to_within_one(
    size: tuple[int, int], view: tuple[int, int], grayscale: bool
):
    pixels, wanted = picture(*size), ObservationSpec(*view, grayscale)
    found = observe_there(torch.from_numpy(pixels), wanted)
    assert found.dtype == torch.uint8
    assert tuple(found.shape) == wanted.shape
    off = np.abs(found.numpy().astype(int) - observe(pixels, wanted).astype(int))
    assert off.max() <= 1
    # Random pixels round apart the most; a wrong weight would move every value.
    assert (off > 0).mean() < 0.2


def test_black_and_white_stay_what_they_are():
    for value in (0, 255):
        flat = torch.full((720, 1280, 3), value, dtype=torch.uint8)
        assert (observe_there(flat, ObservationSpec(84, 84)) == value).all()


def test_the_picture_that_was_uploaded_is_looked_at_where_it_is():
    sight = DeviceObserver(CPU)
    pixels = picture(256, 144)
    uploaded = sight.upload(pixels)
    assert np.array_equal(uploaded.numpy(), pixels)
    seen = sight.observe(pixels, DOOM)
    assert isinstance(seen, DeviceObservation)
    assert np.abs(np.asarray(seen).astype(int) - observe(pixels, DOOM)).max() <= 1
    assert seen.tensor().shape == DOOM.shape


def test_any_other_picture_is_seen_in_host_memory():
    sight = DeviceObserver(CPU)
    pixels = picture(256, 144)
    assert isinstance(sight.observe(pixels, DOOM), np.ndarray)
    sight.upload(pixels)
    other = pixels.copy()
    assert isinstance(sight.observe(other, DOOM), np.ndarray)
    # What was uploaded for one decision is not kept for a later one.
    assert isinstance(sight.observe(pixels, DOOM), np.ndarray)


def test_it_is_stacked_with_others_as_any_array_is():
    sight = DeviceObserver(CPU)
    pixels = picture(256, 144)
    sight.upload(pixels)
    seen = sight.observe(pixels, DOOM)
    stacked = np.stack([seen, observe(pixels, DOOM)])
    assert stacked.dtype == np.uint8
    assert stacked.shape == (2, *DOOM.shape)
