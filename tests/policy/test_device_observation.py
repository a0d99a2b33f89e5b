"""Observations made on a device, compared with those made in host memory.

Here the device is the CPU; ``tests/gpu`` repeats the comparison on a GPU.
"""

import numpy as np
import pytest
import torch

from metabonk.frame import Frame
from metabonk.games.preprocessing import ObservationSpec, preprocess
from metabonk.policy.device_observation import DeviceObservation, DeviceObserver, resize_on_device
from tests.support.frames import noise

CPU = torch.device("cpu")
DOOM = ObservationSpec(128, 72)


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
def test_device_and_host_observations_differ_by_at_most_one(
    size: tuple[int, int], view: tuple[int, int], grayscale: bool
):
    pixels, spec = noise(0, *size), ObservationSpec(*view, grayscale)
    observation = resize_on_device(torch.from_numpy(pixels), spec)
    assert observation.dtype == torch.uint8
    assert tuple(observation.shape) == spec.shape
    difference = np.abs(observation.numpy().astype(int) - preprocess(pixels, spec).astype(int))
    assert difference.max() <= 1
    # Noise is the worst case for rounding; a wrong weight would change every value.
    assert (difference > 0).mean() < 0.2


def test_black_and_white_stay_exact():
    for value in (0, 255):
        flat = torch.full((720, 1280, 3), value, dtype=torch.uint8)
        assert (resize_on_device(flat, ObservationSpec(84, 84)) == value).all()


def test_frames_are_observed_on_the_device_while_the_encoder_accepts_them_there():
    frame = Frame(noise(0, 256, 144), 1.0)
    observed = DeviceObserver(CPU, lambda: True).observe(frame, DOOM)
    assert isinstance(observed, DeviceObservation)
    assert np.abs(np.asarray(observed).astype(int) - preprocess(frame.pixels, DOOM)).max() <= 1
    assert observed.tensor().shape == DOOM.shape
    uploaded = frame.on(CPU)
    assert frame.on(CPU) is uploaded, "one upload serves encoder and policy"


def test_frames_are_otherwise_observed_in_host_memory_without_an_upload():
    accepts = True
    observer = DeviceObserver(CPU, lambda: accepts)
    assert isinstance(observer.observe(Frame(noise(0, 256, 144), 1.0), DOOM), DeviceObservation)
    accepts = False
    frame = Frame(noise(0, 256, 144), 2.0)
    assert isinstance(observer.observe(frame, DOOM), np.ndarray)
    assert frame._uploaded is None


def test_device_observations_can_be_stacked_with_arrays():
    frame = Frame(noise(0, 256, 144), 1.0)
    observed = DeviceObserver(CPU, lambda: True).observe(frame, DOOM)
    stacked = np.stack([observed, preprocess(frame.pixels, DOOM)])
    assert stacked.dtype == np.uint8
    assert stacked.shape == (2, *DOOM.shape)
