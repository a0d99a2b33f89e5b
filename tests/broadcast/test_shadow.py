"""Shadows repeat the episodes of real environments: every reward, every picture."""

import contextlib
import importlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.utils import RecordConstructorArgs

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.records import EpisodeStart, Record, Step
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.shadow import Shadow
from metabonk.broadcast.wrapper import Broadcast
from metabonk.errors import EpisodeDiffers, ReplayError
from tests.support.rings import records_of

for module in ("ale_py", "minigrid", "vizdoom.gymnasium_wrapper"):
    importlib.import_module(module)  # Registers its environments.

ENVIRONMENTS = [
    "CartPole-v1",
    "Acrobot-v1",
    "FrozenLake-v1",
    "Pendulum-v1",
    "MountainCarContinuous-v0",
    "ALE/Pong-v5",
    "ALE/Breakout-v5",
    "MiniGrid-DoorKey-6x6-v0",
    "MiniGrid-Dynamic-Obstacles-8x8-v0",
    "VizdoomDefendCenter-v1",
]


class Watcher:
    """Reads the ring of an environment that broadcasts."""

    def __init__(self, environment: Broadcast) -> None:
        environment.reset()
        self._reader = RingReader(environment._channel.ring.file)  # type: ignore[union-attr]
        set_demand(self._reader.file, Demand.RECORDS, 600)
        self.announcement = Announcement.from_json(self._reader.announcement)

    def records(self) -> list[Record]:
        return records_of(self._reader)

    def close(self) -> None:
        assert self._reader.missed == 0
        self._reader.close()


@contextlib.contextmanager
def watched(environment: gymnasium.Env[Any, Any]) -> Iterator[tuple[Broadcast, Watcher]]:
    """Broadcast an environment, and watch it from its next episode on."""
    with (
        contextlib.closing(Broadcast(environment)) as trainer,
        contextlib.closing(Watcher(trainer)) as watcher,
    ):
        yield trainer, watcher


def repeat(shadow: Shadow, records: list[Record]) -> Iterator[Any]:
    """Yield the pictures of a shadow that repeats episodes."""
    for record in records:
        match record:
            case EpisodeStart():
                shadow.begin(record)
            case Step():
                shadow.step(record)
        yield shadow.draw()


def play(environment: gymnasium.Env[Any, Any], steps: int) -> Iterator[Any]:
    """Yield the pictures of an environment that is played by chance, and never seeded again."""
    environment.action_space.seed(5)
    environment.reset()
    yield environment.render()
    for _ in range(steps):
        _, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
        yield environment.render()
        if terminated or truncated:
            environment.reset()
            yield environment.render()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_rewards_and_pictures_are_those_of_the_trainer(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # ViZDoom leaves a folder there.
    environment = gymnasium.make(name, render_mode="rgb_array")
    environment.reset(seed=3)
    with watched(environment) as (trainer, watcher):
        shown = list(play(trainer, 150))
        recipe = watcher.announcement.recipe
        assert recipe is not None, watcher.announcement.no_recipe
        shadow = Shadow(recipe)
        repeated = list(repeat(shadow, watcher.records()))
        shadow.close()
    assert len(repeated) == len(shown) > 150
    for there, here in zip(shown, repeated, strict=True):
        assert np.array_equal(there, here)


@pytest.mark.parametrize("name", ["CartPole-v1", "ALE/Pong-v5", "MiniGrid-DoorKey-6x6-v0"])
def test_every_episode_can_be_the_first_that_is_shown(name: str):
    environment = gymnasium.make(name)
    environment.reset(seed=3)
    with watched(environment) as (trainer, watcher):
        trainer.action_space.seed(5)
        for episode in range(4):
            trainer.reset(seed=9 if episode == 2 else None)
            for _ in range(60):
                _, _, terminated, truncated, _ = trainer.step(trainer.action_space.sample())
                if terminated or truncated:
                    break
        records, recipe = watcher.records(), watcher.announcement.recipe
    assert recipe is not None
    starts = [at for at, each in enumerate(records) if isinstance(each, EpisodeStart)]
    assert len(starts) == 4
    for first, end in itertools.pairwise([*starts, len(records)]):
        shadow = Shadow(recipe)
        assert len(list(repeat(shadow, records[first:end]))) == end - first
        shadow.close()


class Lying(gymnasium.Env[int, int]):
    """Its reward does not depend on its seed and its actions alone, from the fourth step on."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)
    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}
    made = itertools.count()

    def __init__(self, render_mode: str | None = None, *, lies: str = "reward") -> None:
        self.render_mode = render_mode
        self._lies = lies
        self._which = next(self.made)
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        is_lie = self._steps > 3 and self._which % 2 == 1
        ends = is_lie and self._lies == "end"
        return 0, 1.0 if is_lie and self._lies == "reward" else 0.5, ends, False, {}

    def render(self) -> Any:
        return np.zeros((4, 4, 3), np.uint8)


class Doubled(gymnasium.RewardWrapper[Any, Any]):
    def reward(self, reward: Any) -> float:
        return 2.0 * float(reward)


class Scaled(gymnasium.RewardWrapper[Any, Any], RecordConstructorArgs):
    def __init__(self, env: gymnasium.Env[Any, Any], scale: float) -> None:
        RecordConstructorArgs.__init__(self, scale=scale)
        gymnasium.RewardWrapper.__init__(self, env)
        self._scale = scale

    def reward(self, reward: Any) -> float:
        return self._scale * float(reward)


@pytest.fixture
def lying() -> Iterator[str]:
    name = "Lying-v0"
    gymnasium.register(name, entry_point=Lying)
    yield name
    del gymnasium.registry[name]


@pytest.mark.parametrize(
    ("lies", "message"),
    [
        ("reward", "in step 4 the reward is 1 and was 0.5 in the trainer"),
        ("end", "in step 4 the episode ends and did not in the trainer"),
    ],
)
def test_an_environment_that_lies_is_found_out_at_the_first_difference(
    lying: str, lies: str, message: str
):
    Lying.made = itertools.count()
    with watched(gymnasium.make(lying, lies=lies)) as (trainer, watcher):
        trainer.reset()
        for _ in range(10):
            trainer.step(1)
        recipe = watcher.announcement.recipe
        assert recipe is not None
        shadow = Shadow(recipe)
        with pytest.raises(EpisodeDiffers, match=message) as caught:
            list(repeat(shadow, watcher.records()))
        assert caught.value.step == 3
        shadow.close()


def test_a_copy_has_the_wrappers_that_change_actions_and_rewards():
    made = Scaled(gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), -1, 1), 3.0)
    seen = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.wrappers.FlattenObservation(made))
    with watched(seen) as (trainer, watcher):
        trainer.reset()
        for _ in range(20):
            trainer.step(trainer.action_space.sample())
        recipe = watcher.announcement.recipe
        assert recipe is not None, watcher.announcement.no_recipe
        assert recipe.left_out == ("FlattenObservation", "RecordEpisodeStatistics")
        shadow = Shadow(recipe)
        assert len(list(repeat(shadow, watcher.records()))) == 21
        shadow.close()


def test_an_episode_without_a_copy_says_why():
    with watched(Doubled(gymnasium.make("CartPole-v1"))) as (_, watcher):
        assert watcher.announcement.recipe is None
        assert "its wrapper Doubled does not record" in watcher.announcement.no_recipe


def test_what_can_not_be_repeated_says_why():
    with watched(gymnasium.make("CartPole-v1")) as (_, watcher):
        recipe = watcher.announcement.recipe
    assert recipe is not None
    shadow = Shadow(recipe)
    with pytest.raises(ReplayError, match="its options"):
        shadow.begin(EpisodeStart(0, None, None, {}, "its options are odd"))
    with pytest.raises(ReplayError, match=r"to reset the copy failed .*bit generator"):
        shadow.begin(EpisodeStart(0, None, None, {"np_random": {"bit_generator": "seed"}}))
    shadow.begin(EpisodeStart(0, 1, None))
    with pytest.raises(ReplayError, match="to step the copy failed"):
        shadow.step(Step(None, 1.0))
    shadow.close()
