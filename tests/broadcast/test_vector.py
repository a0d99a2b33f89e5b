"""``BroadcastVector``: one environment of a batched simulator."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.places import find_rings
from metabonk.broadcast.records import EpisodeStart, FrameRecord, Note, Record, Step
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.vector import BroadcastVector
from tests.support.rings import records_of

POLE = "CartPole-v1"
COUNT = 4


class Simulator:
    """Steps batches of tensors in place, as simulators on GPUs do, and is no ``VectorEnv``."""

    num_envs = COUNT
    metadata: ClassVar = {"render_fps": 240}

    def __init__(self) -> None:
        self.steps = 0
        self.rewards = torch.zeros(COUNT)
        self.ends = torch.zeros(COUNT, dtype=torch.bool)
        self.is_closed = False

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return torch.zeros(COUNT, 2), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self.steps += 1
        self.rewards[:] = torch.arange(COUNT) * self.steps
        self.ends[:] = self.steps % 5 == 0
        return torch.zeros(COUNT, 2), self.rewards, self.ends, torch.zeros_like(self.ends), {}

    def render(self) -> Any:
        images = torch.zeros((COUNT, 6, 8, 3), dtype=torch.uint8)
        images[2] = self.steps
        return images

    def close(self) -> None:
        self.is_closed = True


class Watcher:
    def __init__(self, demand: Demand = Demand.FRAMES) -> None:
        (file,) = find_rings()
        self.reader = RingReader(file)
        set_demand(file, demand, 600)

    def read(self) -> list[Record]:
        return records_of(self.reader)


@pytest.fixture
def simulator() -> Iterator[BroadcastVector]:
    with contextlib.closing(BroadcastVector(Simulator(), 2, budget=1.0)) as broadcast:
        broadcast.reset()
        yield broadcast


def test_one_environment_of_a_simulator_is_shown(simulator: BroadcastVector):
    watcher = Watcher()
    announced = Announcement.from_json(watcher.reader.announcement)
    assert (announced.name, announced.fps) == ("Simulator-0", 240.0)
    assert announced.recipe is None and announced.draws_inline
    simulator.step(None)
    step, frame = watcher.read()
    assert isinstance(step, Step) and step.reward == 2.0
    assert isinstance(frame, FrameRecord)
    assert frame.pixels.shape == (6, 8, 3) and (frame.pixels == 1).all()


def test_an_episode_ends_and_the_next_begins_in_the_same_step(simulator: BroadcastVector):
    watcher = Watcher(Demand.RECORDS)
    for _ in range(6):
        simulator.step(None)
    *steps, last, start, first = watcher.read()
    assert [each.reward for each in (*steps, last)] == [2.0, 4.0, 6.0, 8.0, 10.0]  # type: ignore[union-attr]
    assert isinstance(last, Step) and last.terminated
    assert isinstance(start, EpisodeStart) and "batched" in start.no_repeat
    assert isinstance(first, Step) and first.reward == 12.0


def test_nothing_is_drawn_or_written_while_nobody_watches(simulator: BroadcastVector):
    reader = RingReader(find_rings()[0])
    simulator.env.render = lambda: pytest.fail("nobody watches")
    for _ in range(10):
        simulator.step(None)
    assert reader.read() == []


def episodes(records: list[Record]) -> list[list[float]]:
    """Return the rewards of each episode."""
    found = list[list[float]]()
    for record in records:
        if isinstance(record, EpisodeStart):
            found.append([])
        elif isinstance(record, Step) and found:
            found[-1].append(record.reward)
    return found


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_episodes_are_counted_as_the_vector_environment_resets_them(kind: str, mode: Any):
    made = gymnasium.make_vec(POLE, 3, kind, vector_kwargs={"autoreset_mode": mode})
    with contextlib.closing(BroadcastVector(made, 1)) as broadcast:
        broadcast.reset(seed=0)
        watcher = Watcher(Demand.RECORDS)
        broadcast.reset(seed=1)
        lengths, length = list[int](), 0
        was_last = False
        for _ in range(100):
            _, _, terminated, truncated, _ = broadcast.step(np.ones(3, np.int64))
            length += not was_last
            is_last = bool(terminated[1] or truncated[1])
            if is_last:
                lengths.append(length)
                length = 0
            was_last = is_last and mode is AutoresetMode.NEXT_STEP
        seen = [len(each) for each in episodes(watcher.read())]
        assert seen[: len(lengths)] == lengths and len(lengths) > 5


def test_an_environment_that_is_reset_by_hand_begins_then():
    options = {"autoreset_mode": AutoresetMode.DISABLED}
    made = gymnasium.make_vec(POLE, 2, "sync", vector_kwargs=options)
    with contextlib.closing(BroadcastVector(made, 1)) as broadcast:
        broadcast.reset(seed=0)
        watcher = Watcher(Demand.RECORDS)
        broadcast.reset(options={"reset_mask": np.array([True, False])})
        assert watcher.read() == []
        broadcast.reset(options={"reset_mask": np.array([False, True])})
        broadcast.step(np.ones(2, np.int64))
        assert [type(each) for each in watcher.read()] == [EpisodeStart, Step]


def test_the_images_of_a_vector_environment_are_shown():
    made = gymnasium.make_vec(POLE, 2, "sync", render_mode="rgb_array")
    with contextlib.closing(BroadcastVector(made, 1, budget=1.0)) as broadcast:
        broadcast.reset(seed=0)
        watcher = Watcher()
        broadcast.step(np.ones(2, np.int64))
        if watcher.reader.is_closed:  # It was too small for the frame, which is in a larger one.
            watcher = Watcher()
        (frame,) = (each for each in watcher.read() if isinstance(each, FrameRecord))
        assert np.array_equal(frame.pixels, made.render()[1])  # type: ignore[index]


@pytest.mark.parametrize("shape", [(6, 8, 3), (COUNT, 6, 8, 3), (6, 8)])
def test_frames_of_its_own_can_be_shown(shape: tuple[int, ...]):
    image = np.full(shape, 9, np.uint8)
    with contextlib.closing(
        BroadcastVector(Simulator(), 1, frames=lambda: image, budget=1.0)
    ) as broadcast:
        broadcast.reset()
        watcher = Watcher()
        broadcast.step(None)
        *_, frame = watcher.read()
        assert isinstance(frame, FrameRecord)
        assert frame.pixels.shape == (6, 8, 3) and (frame.pixels == 9).all()


@pytest.mark.parametrize("images", [None, ()])
def test_without_images_it_says_so_once(images: Any):
    with contextlib.closing(BroadcastVector(Simulator(), frames=lambda: images)) as broadcast:
        broadcast.reset()
        watcher = Watcher()
        for _ in range(3):
            broadcast.step(None)
        (note,) = [each for each in watcher.read() if isinstance(each, Note)]
        assert "no image" in note.text


def test_the_results_are_those_of_the_simulator():
    plain = gymnasium.make_vec(POLE, 3, "sync")
    made = gymnasium.make_vec(POLE, 3, "sync", render_mode="rgb_array")
    with contextlib.closing(BroadcastVector(made, budget=1.0)) as broadcast:
        assert np.array_equal(broadcast.reset(seed=5)[0], plain.reset(seed=5)[0])
        Watcher()
        assert broadcast.single_action_space == plain.single_action_space
        for _ in range(100):
            actions = plain.action_space.sample()
            for one, other in zip(
                broadcast.step(actions)[:4], plain.step(actions)[:4], strict=True
            ):
                assert np.array_equal(one, other)
    plain.close()


def test_whatever_fails_is_a_warning_and_the_trainer_goes_on(simulator: BroadcastVector):
    Watcher()
    simulator.env.render = lambda: torch.zeros((COUNT, 6, 8, 3))
    with pytest.warns(UserWarning, match="an image of shape .6, 8, 3. and float32"):
        simulator.step(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert simulator.step(None)[1][1] == 2.0
    assert find_rings() == []


def test_closing_closes_the_simulator():
    simulator = Simulator()
    broadcast = BroadcastVector(simulator)
    broadcast.reset()
    broadcast.close()
    assert simulator.is_closed and find_rings() == []


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, rings: Path):
    monkeypatch.setenv("METABONK_BROADCAST", "0")
    broadcast = BroadcastVector(Simulator())
    broadcast.reset()
    broadcast.step(None)
    assert not rings.exists()


@pytest.mark.parametrize("option", [{"index": 4}, {"index": -1}, {"budget": 2.0}])
def test_an_option_without_such_a_value_is_refused(option: dict[str, Any]):
    (name,) = option
    with pytest.raises(ValueError, match=f"{name} of BroadcastVector is .*; allowed: "):
        BroadcastVector(Simulator(), **option)


def test_several_are_told_apart():
    shown = [BroadcastVector(Simulator(), index, name="ant") for index in range(3)]
    for each in shown:
        each.reset()
    assert {file.stem for file in find_rings()} == {"ant", "ant-1", "ant-2"}
    for each in shown:
        each.close()
