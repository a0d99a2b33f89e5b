"""``Broadcast`` in the trainer: it is announced, shows what is asked for, and can't hurt."""

import copy
import itertools
import os
import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest

from metabonk.broadcast import channel
from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.carried import Carrier
from metabonk.broadcast.places import find_rings
from metabonk.broadcast.records import (
    EpisodeStart,
    FrameRecord,
    Note,
    Record,
    Step,
    Thought,
)
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.wrapper import Broadcast
from metabonk.errors import StartError
from tests.support.rings import records_of
from tests.support.waiting import until

POLE = "CartPole-v1"


class Odd(gymnasium.Env[Any, Any]):
    """Takes any action, and raises what it is given as one."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)
    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 0}

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.reward: Any = 1.0
        self.images = itertools.repeat(np.zeros((2, 3, 3), np.uint8))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {"options": options}

    def step(self, action: Any) -> tuple[int, Any, bool, bool, dict[str, Any]]:
        if isinstance(action, Exception):
            raise action
        if isinstance(action, np.ndarray):
            action += 1
        return 0, self.reward, False, False, {}

    def render(self) -> Any:
        return next(self.images)


class Seen(gymnasium.ObservationWrapper[Any, Any, Any]):
    """The policy sees what is drawn."""

    def observation(self, observation: Any) -> Any:
        return self.env.render()


class Watcher:
    """Reads the only ring that there is, and asks for more."""

    def __init__(self, demand: Demand = Demand.RECORDS) -> None:
        (file,) = find_rings()
        self.reader = RingReader(file)
        set_demand(file, demand, 600)

    @property
    def announcement(self) -> Announcement:
        return Announcement.from_json(self.reader.announcement)

    def read(self) -> list[Record]:
        return records_of(self.reader)


@pytest.fixture
def opened() -> Iterator[Callable[..., Broadcast]]:
    """Return a function that broadcasts an environment, which is closed in the end."""
    made = list[Broadcast]()

    def broadcast(environment: Any = POLE, **options: Any) -> Broadcast:
        if isinstance(environment, str):
            environment = gymnasium.make(environment)
        made.append(Broadcast(environment, **options))
        return made[-1]

    yield broadcast
    for each in made:
        each.close()


Opened = Callable[..., Broadcast]


def test_it_is_announced_by_its_first_reset_and_removed_by_closing(opened: Opened, rings: Path):
    environment = opened()
    assert not rings.exists(), "vector environments make dummies, and close them"
    environment.reset()
    (file,) = find_rings()
    with_all = Announcement.from_json(RingReader(file).announcement)
    assert (with_all.name, with_all.pid, with_all.fps) == ("CartPole-v1-0", os.getpid(), 50.0)
    environment.reset()
    assert find_rings() == [file]
    environment.close()
    assert list(rings.iterdir()) == []


def test_a_closed_environment_is_not_announced_again(opened: Opened):
    environment = opened(Odd())
    environment.close()
    environment.reset()
    environment.step(0)
    assert find_rings() == []


def test_it_can_be_switched_off(opened: Opened, monkeypatch: pytest.MonkeyPatch, rings: Path):
    monkeypatch.setenv("METABONK_BROADCAST", "0")
    environment = opened()
    environment.reset()
    environment.step(0)
    environment.think(value=1.0)
    assert not rings.exists()


def test_nothing_is_written_while_nobody_watches(opened: Opened):
    environment = opened()
    environment.reset()
    reader = RingReader(find_rings()[0])
    for _ in range(5):
        environment.step(0)
        environment.think(value=1.0)
    environment.reset()
    assert reader.read() == []
    reader.close()


def test_whole_episodes_are_sent_from_the_next_on(opened: Opened):
    environment = opened()
    environment.reset(seed=1)
    watcher = Watcher()
    environment.step(0)
    environment.reset(seed=2, options={"low": -0.01, "high": 0.01})
    environment.think(probabilities=[0.25, 0.75], value=3, text="right")
    environment.step(np.int64(1))
    environment.reset()
    start, thought, step, following = watcher.read()
    assert isinstance(start, EpisodeStart) and isinstance(following, EpisodeStart)
    assert (start.number, start.seed) == (1, 2)
    assert start.options == {"low": -0.01, "high": 0.01}
    assert isinstance(thought, Thought) and thought.probabilities is not None
    assert thought.probabilities.tolist() == [0.25, 0.75]
    assert (thought.value, thought.text) == (3.0, "right")
    assert isinstance(step, Step) and type(step.action) is np.int64 and step.reward == 1.0
    assert (following.number, following.seed) == (2, None)
    assert following.carried["np_random"]["bit_generator"] == "PCG64"


@pytest.mark.parametrize("ended", [Demand.RECORDS, Demand.NOTHING])
def test_when_nobody_renews_the_demand_nothing_more_is_sent(opened: Opened, ended: Demand):
    environment = opened(Odd())
    environment.reset()
    watcher = Watcher()
    environment.reset()
    set_demand(watcher.reader.file, ended, 0)
    for _ in range(3):
        environment.step(0)
    set_demand(watcher.reader.file, Demand.RECORDS, 600)
    environment.step(1)
    # The step at which that was noticed; an episode with a gap would be of no use.
    assert [type(each) for each in watcher.read()] == [EpisodeStart, Step]
    environment.reset()
    assert [type(each) for each in watcher.read()] == [EpisodeStart]


def test_steps_are_written_together_and_the_last_one_at_once(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(channel, "BATCH_S", 600.0)
    environment = opened()
    environment.reset()
    watcher = Watcher()
    environment.reset(seed=1)
    assert [type(each) for each in watcher.read()] == [EpisodeStart], "the first at once"
    environment.step(1)
    assert watcher.read() == []
    is_over = False
    while not is_over:
        is_over = bool(environment.step(1)[2])
    assert len(watcher.read()) > 5
    environment.reset()
    environment.step(1)
    environment.close()
    assert [type(each) for each in watcher.read()] == [EpisodeStart, Step]


def test_of_many_episodes_that_end_at_once_few_are_written_by_themselves(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(channel, "BATCH_S", 600.0)
    environment = opened()
    environment.reset()
    watcher = Watcher()
    environment.reset(seed=1)
    for _ in range(5):
        while not environment.step(1)[2]:
            pass
        environment.reset()
    ends = [each for each in watcher.read() if isinstance(each, Step) and each.terminated]
    assert len(ends) == 1
    environment.close()
    ends = [each for each in watcher.read() if isinstance(each, Step) and each.terminated]
    assert len(ends) == 4


def test_an_action_is_sent_as_it_was_before_the_step(opened: Opened):
    environment = opened(Odd())
    environment.reset()
    watcher = Watcher()
    environment.reset()
    action = np.zeros(2)
    environment.step(action)
    assert action.tolist() == [1.0, 1.0]
    _, step = watcher.read()
    assert isinstance(step, Step) and step.action.tolist() == [0.0, 0.0]


def test_what_can_not_be_sent_is_said(opened: Opened):
    environment = opened(gymnasium.make(POLE))
    environment.reset()
    watcher = Watcher()
    environment.reset(options={"low": -0.05, "high": 0.05, "odd": object()})
    (start,) = watcher.read()
    assert isinstance(start, EpisodeStart)
    assert start.no_repeat == "its reset has a value of builtins.object"
    odd = opened(Odd(), name="odd")
    odd.reset()
    reader = RingReader(next(each for each in find_rings() if each.stem == "odd"))
    set_demand(reader.file, Demand.RECORDS, 600)
    odd.reset()
    odd.step({1})
    odd.reset()
    *_, last = records_of(reader)
    assert isinstance(last, EpisodeStart)
    assert last.no_repeat == "its actions have a value of builtins.set"


@pytest.mark.parametrize("draw", ["auto", "inline"])
def test_frames_are_drawn_here_where_they_are_asked_for(opened: Opened, draw: str):
    environment = opened(Odd("rgb_array"), draw=draw, budget=1.0)
    environment.reset()
    watcher = Watcher(Demand.FRAMES)
    environment.step(0)
    step, frame = watcher.read()
    assert isinstance(step, Step), "in the middle of an episode too"
    assert isinstance(frame, FrameRecord) and frame.pixels.shape == (2, 3, 3)
    environment.reset()
    assert isinstance(watcher.read()[0], EpisodeStart)
    assert watcher.announcement.draws_inline and watcher.announcement.recipe is None


def test_the_images_that_the_policy_sees_can_be_shown(opened: Opened):
    made = gymnasium.make(POLE, render_mode="rgb_array")
    environment = opened(Seen(made), draw="observation", budget=1.0)
    environment.reset()
    watcher = Watcher(Demand.FRAMES)
    environment.reset()
    assert watcher.reader.is_closed, "it was too small for the frame"
    watcher = Watcher(Demand.FRAMES)

    def is_shown() -> bool:
        observation, _ = environment.reset()
        newest = watcher.read()[-1]
        return isinstance(newest, FrameRecord) and np.array_equal(newest.pixels, observation)

    until("the next frame is due", is_shown)


@pytest.mark.parametrize("left", [Demand.RECORDS, Demand.NOTHING])
def test_frames_end_with_the_demand_although_each_writes_the_batch(
    opened: Opened, left: Demand, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(channel, "BATCH_S", 60.0)
    made = Odd("rgb_array")
    made.metadata = {**made.metadata, "render_fps": 240}
    environment = opened(made, budget=1.0)
    environment.reset()
    watcher = Watcher(Demand.FRAMES)
    environment.reset()

    def has_frame() -> bool:
        environment.step(0)
        return any(isinstance(each, FrameRecord) for each in watcher.read())

    until("a frame", has_frame)
    until("the next one", has_frame)
    set_demand(watcher.reader.file, left, 600)
    deadline = time.monotonic() + 0.1
    while time.monotonic() < deadline:
        assert not has_frame()


@pytest.mark.parametrize(("mode", "draw"), [(None, "auto"), ("rgb_array", "shadow")])
def test_where_it_can_not_be_drawn_it_says_so_once(opened: Opened, mode: str | None, draw: str):
    environment = opened(Odd(mode), draw=draw)
    environment.reset()
    watcher = Watcher(Demand.FRAMES)
    assert not watcher.announcement.draws_inline
    for _ in range(3):
        environment.step(0)
    notes = [each for each in watcher.read() if isinstance(each, Note)]
    assert len(notes) == 1 and "render_mode='rgb_array'" in notes[0].text


@pytest.mark.parametrize(
    "option", [{"draw": "often"}, {"budget": 2.0}, {"speed": "fast"}, {"budget": float("nan")}]
)
def test_an_option_without_such_a_value_is_refused(option: dict[str, Any]):
    (name,) = option
    with pytest.raises(ValueError, match=f"{name} of Broadcast is .*; allowed: "):
        Broadcast(gymnasium.make(POLE), **option)


def test_its_arguments_are_recorded():
    environment = Broadcast(gymnasium.make(POLE), name="pole", budget=0.1)
    assert environment.spec is not None
    again = gymnasium.make(environment.spec)
    assert isinstance(again, Broadcast)
    assert again._options == ("pole", "auto", 0.1, "game")
    again.close()
    environment.close()


def test_the_environments_own_errors_come_through(opened: Opened):
    environment = opened(Odd())
    environment.reset()
    watcher = Watcher()
    environment.reset()
    with pytest.raises(ZeroDivisionError, match="its own"):
        environment.step(ZeroDivisionError("its own"))
    assert environment.step(1)[1] == 1.0
    assert [type(each) for each in watcher.read()] == [EpisodeStart, Step]


def break_ring(environment: Broadcast, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*given: Any) -> None:
        raise StartError("/dev/shm: No space left on device")

    monkeypatch.setattr(channel, "create_ring", no_room)


def break_reward(environment: Broadcast, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.unwrapped.reward = "much"  # type: ignore[attr-defined]


def break_image(environment: Broadcast, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.unwrapped.images = itertools.repeat("no image")  # type: ignore[attr-defined]


def break_state(environment: Broadcast, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> bytes:
        raise RuntimeError("lost")

    monkeypatch.setattr(environment.unwrapped, "get_carried_state", lost, raising=False)
    environment._no_repeat = ""
    environment._carrier = Carrier(environment.env)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_ring, "/dev/shm: No space left on device"),
        (break_reward, "ValueError: could not convert"),
        (break_image, "ValueError: an image of shape"),
        (break_state, "RuntimeError: lost"),
    ],
)
@pytest.mark.parametrize("action", ["default", "error"])
def test_whatever_fails_is_a_warning_and_the_trainer_goes_on(
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Broadcast, pytest.MonkeyPatch], None],
    words: str,
    action: Any,
):
    environment = opened(Odd("rgb_array"), budget=1.0)
    if damage is break_ring:
        damage(environment, monkeypatch)
    environment.reset()
    for ring in find_rings():
        set_demand(ring, Demand.FRAMES, 600)
    damage(environment, monkeypatch)
    with warnings.catch_warnings(record=action == "default") as caught:
        warnings.simplefilter(action)
        for _ in range(3):
            assert environment.reset(seed=1, options={"a": 1}) == (0, {"options": {"a": 1}})
            outcome = environment.step(0)
            assert outcome[0] == 0 and outcome[1] == environment.unwrapped.reward  # type: ignore[attr-defined]
    if caught is not None:
        assert [words in str(each.message) for each in caught] in ([True], [])
    assert find_rings() == []


def test_one_warning_says_what_failed(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    environment = opened(Odd())
    break_ring(environment, monkeypatch)
    with pytest.warns(UserWarning, match="shows nothing of this environment: /dev/shm") as caught:
        for _ in range(3):
            environment.reset()
            environment.step(0)
    assert len(caught) == 1


def test_copies_are_announced_by_themselves(opened: Opened):
    environment = opened()
    environment.reset(seed=1)
    Watcher()
    environment.reset(seed=1)
    for twin in (copy.deepcopy(environment), pickle.loads(pickle.dumps(environment))):  # noqa: S301
        assert twin.step(1)[0].tolist() == copy.deepcopy(environment).step(1)[0].tolist()
        assert len(find_rings()) == 1
        twin.reset()
        assert len(find_rings()) == 2
        twin.close()
    environment.step(0)


def test_a_forgotten_environment_takes_its_ring_with_it():
    environment = Broadcast(Odd())
    environment.reset()
    assert len(find_rings()) == 1
    del environment
    assert find_rings() == []


def test_a_program_that_closes_nothing_leaves_nothing(rings: Path):
    program = """
import gymnasium
from metabonk.broadcast.wrapper import Broadcast
environment = Broadcast(gymnasium.make("CartPole-v1"))
environment.reset()
environment.step(0)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
    assert list(rings.iterdir()) == []
