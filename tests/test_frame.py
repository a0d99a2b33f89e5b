"""A drawn frame, in host memory and on a device; here the device is the CPU."""

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
    """Devices of all uploads."""
    found: list[torch.device] = []
    upload = device_frames.upload

    def counting(pixels: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
        found.append(device)
        return upload(pixels, device)

    monkeypatch.setattr(device_frames, "upload", counting)
    return found


def test_its_size_is_that_of_its_pixels():
    frame = Frame(PIXELS, 1.0)
    assert (frame.width, frame.height) == (64, 36)


def test_it_stays_in_host_memory_until_somebody_asks(uploads: list[torch.device]):
    Frame(PIXELS, 1.0)
    assert uploads == []


def test_it_is_uploaded_once_whoever_asks(uploads: list[torch.device]):
    frame = Frame(PIXELS, 1.0)
    threads = [threading.Thread(target=frame.on, args=(CPU,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(frame.on(CPU).numpy(), PIXELS)
    assert frame.on(CPU) is frame.on(CPU)
    assert uploads == [CPU]
