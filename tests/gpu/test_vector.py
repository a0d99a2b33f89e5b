"""``BroadcastVector`` with a simulator on a GPU: right, and without waiting for it."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from metabonk.broadcast import channel
from metabonk.broadcast.places import find_rings
from metabonk.broadcast.records import FrameRecord, Record, Step
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.vector import BroadcastVector
from tests.support.rings import records_of
from tests.support.waiting import until

COUNT = 1024
CYCLES = 1_500_000_000
"""Most of a second of a GPU."""


class Simulator:
    """Steps tensors on a GPU in place."""

    num_envs = COUNT
    metadata: ClassVar = {"render_fps": 240}

    def __init__(self, device: torch.device) -> None:
        self.steps = torch.zeros((), device=device)
        self.rewards = torch.zeros(COUNT, device=device)
        self.ends = torch.zeros(COUNT, dtype=torch.bool, device=device)
        self.images = torch.zeros((COUNT, 64, 96, 3), dtype=torch.uint8, device=device)

    @property
    def unwrapped(self) -> "Simulator":
        return self

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return self.rewards, {}

    def step(self, actions: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        self.steps += 1
        self.rewards[:] = self.steps / 4
        self.ends[:] = self.steps % 50 == 0
        self.images[:] = (self.steps % 251).to(torch.uint8)
        return self.rewards, self.rewards, self.ends, torch.zeros_like(self.ends), {}

    def render(self) -> Tensor:
        return self.images

    def close(self) -> None:
        pass


@pytest.fixture
def watched(
    cuda: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BroadcastVector]:
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path))
    monkeypatch.setattr(channel, "BATCH_S", 0.0)
    with contextlib.closing(BroadcastVector(Simulator(cuda), 7, budget=1.0)) as broadcast:
        broadcast.reset()
        set_demand(find_rings()[0], Demand.FRAMES, 600)
        for _ in range(20):  # Memory is allocated, kernels are loaded.
            broadcast.step(None)
            torch.cuda.synchronize(cuda)
            time.sleep(0.005)
        yield broadcast


def test_rewards_and_frames_are_those_of_the_simulator(watched: BroadcastVector):
    reader = RingReader(find_rings()[0])
    records, rewards, frames = list[Record](), list[float](), 0
    for _ in range(400):
        watched.step(None)
        time.sleep(0.002)
        records += records_of(reader)
    for record in records:
        if isinstance(record, Step):
            rewards.append(record.reward)
            assert record.terminated == (record.reward * 4 % 50 == 0)
        elif isinstance(record, FrameRecord):
            assert record.pixels.shape == (64, 96, 3)
            assert rewards, "a frame comes with its step"
            assert (record.pixels == round(rewards[-1] * 4) % 251).all(), "of the newest step"
            frames += 1
    assert frames > 50
    first = rewards[0]
    assert rewards == [first + number / 4 for number in range(len(rewards))]
    assert len(rewards) > 380


def test_a_step_does_not_wait_for_the_gpu(watched: BroadcastVector, cuda: torch.device):
    reader = RingReader(find_rings()[0])
    records_of(reader)
    torch.cuda._sleep(CYCLES)
    began = time.perf_counter()
    for _ in range(20):
        watched.step(None)
    took_s = time.perf_counter() - began
    before = len(records_of(reader))
    torch.cuda.synchronize(cuda)
    waited_s = time.perf_counter() - began
    assert waited_s > 0.3, "the GPU was busy"
    assert took_s < 0.1 * waited_s
    assert before <= 2

    def has_come() -> bool:
        watched.step(None)
        return any(isinstance(each, FrameRecord) for each in records_of(reader))

    until("they come later", has_come)
