"""A live worker's frames on a real GPU: right, uploaded once, and no thread waits for them."""

import time
from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metabonk.device_frames import in_frame_stream, synchronize_stream
from metabonk.encoding.backends.nv12 import Nv12
from metabonk.frame import Frame
from metabonk.games.preprocessing import ObservationSpec, preprocess
from metabonk.policy import Actor
from metabonk.policy.device_observation import DeviceObservation, DeviceObserver
from tests.support.specs import TINY

DOOM = ObservationSpec(128, 72)
WIDTH, HEIGHT = 1920, 1080


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (720, 1280, 3), np.uint8)


def observer_on(cuda: torch.device) -> DeviceObserver:
    return DeviceObserver(cuda, lambda: True)


@pytest.mark.parametrize("view", [DOOM, ObservationSpec(128, 72, True), ObservationSpec(84, 84)])
def test_the_observation_is_that_of_host_memory_to_within_one(
    cuda: torch.device, view: ObservationSpec
):
    observer = observer_on(cuda)
    for seed in range(20):
        frame = Frame(noise(seed), 0.0)
        observed = observer.observe(frame, view)
        assert isinstance(observed, DeviceObservation)
        assert observed.tensor().device == cuda
        assert np.abs(np.asarray(observed).astype(int) - preprocess(frame.pixels, view)).max() <= 1


def test_of_many_frames_in_flight_none_overwrites_another(cuda: torch.device):
    """Pinned and device memory are reused, but not before they are done with."""
    observer = observer_on(cuda)
    buffers = [np.full((720, 1280, 3), value, np.uint8) for value in range(200)]
    observed = []
    for pixels in buffers:
        observed.append(observer.observe(Frame(pixels, 0.0), DOOM))
        pixels[...] = 255  # As if the game drew the next one into the same memory.
    for value, each in enumerate(observed):
        assert (np.asarray(each) == value).all()


def test_one_upload_serves_policy_and_encoder_and_nothing_comes_back(cuda: torch.device):
    observer, actor = observer_on(cuda), Actor(TINY, device=cuda)
    nv12 = Nv12(WIDTH, HEIGHT, cuda)
    rows = torch.empty(HEIGHT * 3 // 2, WIDTH, dtype=torch.uint8, device=cuda)
    height, width, channels = TINY.observation_shape
    small = ObservationSpec(width, height, grayscale=channels == 1)
    pixels = noise(1)

    def once() -> None:
        frame = Frame(pixels, 0.0)
        observer.observe(frame, small)
        uploaded = frame.on(cuda)
        with in_frame_stream(cuda):
            nv12.convert(uploaded, rows[:HEIGHT], rows[HEIGHT:])
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
    assert len(actor.act([observer.observe(Frame(pixels, 0.0), small)], [0])) == 1


def test_the_play_thread_does_not_wait_for_the_gpu(cuda: torch.device):
    observer, pixels = observer_on(cuda), noise(1)
    for _ in range(10):
        observer.observe(Frame(pixels, 0.0), DOOM)
    synchronize_stream(cuda)
    began = time.monotonic()
    with in_frame_stream(cuda):
        torch.cuda._sleep(2_000_000_000)  # About a second of the device's clock.
    observed = observer.observe(Frame(pixels, 0.0), DOOM)
    taken = time.monotonic() - began
    np.asarray(observed)
    assert taken < 0.5 * (time.monotonic() - began)
