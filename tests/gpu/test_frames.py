"""Frames of a live worker on a real GPU: correct, uploaded once and never waited for."""

import time
from collections import Counter

import numpy as np
import pytest
import torch

from metabonk.device_frames import in_frame_stream, synchronize_stream
from metabonk.encoding.backends.nv12 import Nv12
from metabonk.frame import Frame
from metabonk.games.preprocessing import ObservationSpec, preprocess
from metabonk.policy import Actor
from metabonk.policy.device_observation import DeviceObservation, DeviceObserver
from tests.support.frames import noise
from tests.support.specs import TINY

DOOM = ObservationSpec(128, 72)
WIDTH, HEIGHT = 1920, 1080


def observer_on(cuda: torch.device) -> DeviceObserver:
    return DeviceObserver(cuda, lambda: True)


@pytest.mark.parametrize("spec", [DOOM, ObservationSpec(128, 72, True), ObservationSpec(84, 84)])
def test_device_and_host_observations_differ_by_at_most_one(
    cuda: torch.device, spec: ObservationSpec
):
    observer = observer_on(cuda)
    for seed in range(20):
        frame = Frame(noise(seed, 1280, 720), 0.0)
        observed = observer.observe(frame, spec)
        assert isinstance(observed, DeviceObservation)
        assert observed.tensor().device == cuda
        assert np.abs(np.asarray(observed).astype(int) - preprocess(frame.pixels, spec)).max() <= 1


def test_frames_in_flight_never_overwrite_each_other(cuda: torch.device):
    """Check that pinned and device memory is reused only when it is free."""
    observer = observer_on(cuda)
    buffers = [np.full((720, 1280, 3), value, np.uint8) for value in range(200)]
    observed = []
    for pixels in buffers:
        observed.append(observer.observe(Frame(pixels, 0.0), DOOM))
        pixels[...] = 255  # As a game that draws the next frame into the same buffer.
    for value, each in enumerate(observed):
        assert (np.asarray(each) == value).all()


def test_one_upload_serves_policy_and_encoder_without_downloads(cuda: torch.device):
    observer, actor = observer_on(cuda), Actor(TINY, device=cuda)
    nv12 = Nv12(WIDTH, HEIGHT, cuda)
    rows = torch.empty(HEIGHT * 3 // 2, WIDTH, dtype=torch.uint8, device=cuda)
    height, width, channels = TINY.observation_shape
    small = ObservationSpec(width, height, grayscale=channels == 1)
    pixels = noise(1, 1280, 720)

    def process_frame() -> None:
        frame = Frame(pixels, 0.0)
        observer.observe(frame, small)
        uploaded = frame.on(cuda)
        with in_frame_stream(cuda):
            nv12.convert(uploaded, rows[:HEIGHT], rows[HEIGHT:])
        synchronize_stream(cuda)

    process_frame()
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities, acc_events=True) as profile:
        for _ in range(10):
            process_frame()
        torch.cuda.synchronize()
    copies = Counter(event.name.split(" (")[0] for event in profile.events())
    assert copies["Memcpy HtoD"] == 10
    assert copies["Memcpy DtoH"] == 0
    assert len(actor.act([observer.observe(Frame(pixels, 0.0), small)], [0])) == 1


def test_the_play_thread_does_not_wait_for_the_gpu(cuda: torch.device):
    observer, pixels = observer_on(cuda), noise(1, 1280, 720)
    for _ in range(10):
        observer.observe(Frame(pixels, 0.0), DOOM)
    synchronize_stream(cuda)
    start = time.monotonic()
    with in_frame_stream(cuda):
        torch.cuda._sleep(2_000_000_000)  # About one second.
    observed = observer.observe(Frame(pixels, 0.0), DOOM)
    elapsed = time.monotonic() - start
    np.asarray(observed)
    assert elapsed < 0.5 * (time.monotonic() - start)
