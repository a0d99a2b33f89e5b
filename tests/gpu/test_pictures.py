"""A live worker's pictures on a real GPU: right, uploaded once, and nobody waits for them."""

import time
from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metabonk.device_frames import in_frame_stream, on_device, synchronize_stream
from metabonk.encoding.backends.nv12 import Nv12
from metabonk.games.preprocessing import ObservationSpec, observe
from metabonk.policy import Actor
from metabonk.policy.device_observation import DeviceObservation, DeviceObserver
from tests.support.specs import TINY

DOOM = ObservationSpec(128, 72)
WIDTH, HEIGHT = 1920, 1080


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (720, 1280, 3), np.uint8)


@pytest.mark.parametrize("view", [DOOM, ObservationSpec(128, 72, True), ObservationSpec(84, 84)])
def test_the_observation_is_that_of_host_memory_to_within_one(
    cuda: torch.device, view: ObservationSpec
):
    sight = DeviceObserver(cuda)
    for seed in range(20):
        pixels = picture(seed)
        sight.upload(pixels)
        seen = sight.observe(pixels, view)
        assert isinstance(seen, DeviceObservation)
        assert seen.tensor().device == cuda
        assert np.abs(np.asarray(seen).astype(int) - observe(pixels, view)).max() <= 1


def test_every_picture_of_many_in_flight_is_its_own(cuda: torch.device):
    """Pinned memory and the device's are used again, and never before they are done with."""
    sight = DeviceObserver(cuda)
    pictures = [np.full((720, 1280, 3), value, np.uint8) for value in range(200)]
    seen = []
    for pixels in pictures:
        sight.upload(pixels)
        seen.append(sight.observe(pixels, DOOM))
        pixels[...] = 255  # The game draws the next one into the same memory.
    for value, each in enumerate(seen):
        assert (np.asarray(each) == value).all()


def test_one_upload_serves_policy_and_encoder_and_nothing_comes_back(cuda: torch.device):
    sight, actor = DeviceObserver(cuda), Actor(TINY, device=cuda)
    nv12 = Nv12(WIDTH, HEIGHT, cuda)
    rows = torch.empty(HEIGHT * 3 // 2, WIDTH, dtype=torch.uint8, device=cuda)
    height, width, channels = TINY.observation_shape
    small = ObservationSpec(width, height, grayscale=channels == 1)
    pixels = picture(1)

    def once() -> None:
        uploaded = sight.upload(pixels)
        sight.observe(pixels, small)
        with in_frame_stream(cuda):
            nv12.convert(on_device(uploaded, cuda), rows[:HEIGHT], rows[HEIGHT:])
        synchronize_stream(cuda)

    once()
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities, acc_events=True) as profile:
        for _ in range(10):
            once()
        torch.cuda.synchronize()
    copies = Counter(event.name.split(" (")[0] for event in profile.events())
    assert copies["Memcpy HtoD"] == 10
    assert copies["Memcpy DtoH"] == 0
    sight.upload(pixels)
    assert len(actor.act([sight.observe(pixels, small)], [0])) == 1


def test_the_play_thread_does_not_wait_for_what_the_gpu_has_to_do(cuda: torch.device):
    sight, pixels = DeviceObserver(cuda), picture(1)
    for _ in range(10):
        sight.upload(pixels)
        sight.observe(pixels, DOOM)
    synchronize_stream(cuda)
    began = time.monotonic()
    with in_frame_stream(cuda):
        torch.cuda._sleep(2_000_000_000)  # About a second of the device's clock.
    sight.upload(pixels)
    seen = sight.observe(pixels, DOOM)
    taken = time.monotonic() - began
    np.asarray(seen)
    assert taken < 0.5 * (time.monotonic() - began)
