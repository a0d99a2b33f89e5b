"""Frames in host memory and on a device; here the device is the CPU."""

import threading

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metabonk import device_frames
from metabonk.frame import Frame

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (36, 64, 3), np.uint8)


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Return the list that records the device of every upload."""
    devices: list[torch.device] = []
    upload = device_frames.upload

    def record_upload(pixels: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        devices.append(device)
        return upload(pixels, device)

    monkeypatch.setattr(device_frames, "upload", record_upload)
    return devices


def test_a_frame_has_the_size_of_its_pixels():
    frame = Frame(PIXELS, 1.0)
    assert (frame.width, frame.height) == (64, 36)


def test_a_frame_is_not_uploaded_until_requested(uploads: list[torch.device]):
    Frame(PIXELS, 1.0)
    assert uploads == []


def test_a_repeat_shares_pixels_and_upload(uploads: list[torch.device]):
    frame = Frame(PIXELS, 1.0)
    tensor = frame.on(CPU)
    repeated = frame.repeat(2.0)
    assert (repeated.pixels is PIXELS, repeated.captured_at, repeated.thoughts) == (True, 2.0, ())
    assert repeated.on(CPU) is tensor
    assert uploads == [CPU]


def test_concurrent_requests_upload_a_frame_once(uploads: list[torch.device]):
    frame = Frame(PIXELS, 1.0)
    threads = [threading.Thread(target=frame.on, args=(CPU,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(frame.on(CPU).numpy(), PIXELS)
    assert frame.on(CPU) is frame.on(CPU)
    assert uploads == [CPU]
