"""Atari games in the wrappers of Stable-Baselines3 and CleanRL."""

import contextlib
from collections.abc import Callable
from typing import Any

import ale_py
import gymnasium
import pytest
from gymnasium.wrappers import (
    FrameStackObservation,
    GrayscaleObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
    ResizeObservation,
)
from stable_baselines3.common.atari_wrappers import (
    AtariWrapper,
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
    MaxAndSkipEnv,
    NoopResetEnv,
)
from stable_baselines3.common.monitor import Monitor

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.carried import WRAPPERS, Carrier, restore
from metabonk.broadcast.places import find_rings
from metabonk.broadcast.records import EpisodeStart, Step
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.shadow import Shadow
from metabonk.broadcast.wrapper import Broadcast
from metabonk.errors import WireError
from tests.support.rings import records_of

gymnasium.register_envs(ale_py)


def cleanrl(game: str) -> gymnasium.Env[Any, Any]:
    """Wrap a game as CleanRL's ``ppo_atari.py`` does."""
    environment: Any = RecordEpisodeStatistics(gymnasium.make(game))
    environment = NoopResetEnv(environment, noop_max=30)
    environment = MaxAndSkipEnv(environment, skip=4)
    environment = EpisodicLifeEnv(environment)
    if "FIRE" in environment.unwrapped.get_action_meanings():
        environment = FireResetEnv(environment)
    environment = ClipRewardEnv(environment)
    environment = ResizeObservation(environment, (84, 84))
    environment = GrayscaleObservation(environment)
    return FrameStackObservation(environment, 4)


def stable_baselines3(game: str) -> gymnasium.Env[Any, Any]:
    return AtariWrapper(Monitor(gymnasium.make(game)))


def sticky(game: str) -> gymnasium.Env[Any, Any]:
    environment = Monitor(gymnasium.make(game))
    return AtariWrapper(environment, noop_max=7, frame_skip=3, action_repeat_probability=0.25)


@pytest.mark.parametrize("game", ["BreakoutNoFrameskip-v4", "ALE/SpaceInvaders-v5"])
@pytest.mark.parametrize("wrap", [cleanrl, stable_baselines3, sticky])
def test_each_life_is_repeated_from_where_it_began(
    wrap: Callable[[str], gymnasium.Env[Any, Any]], game: str
):
    with contextlib.closing(Broadcast(wrap(game))) as environment:
        environment.reset(seed=1)
        reader = RingReader(find_rings()[0])
        set_demand(reader.file, Demand.RECORDS, 600)
        recipe = Announcement.from_json(reader.announcement).recipe
        assert recipe is not None
        environment.action_space.seed(1)
        environment.reset()
        records, lives = records_of(reader), 0
        while lives < 7:
            _, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
            if terminated or truncated:
                environment.reset()
                lives += 1
            records += records_of(reader)
        starts = [index for index, each in enumerate(records) if isinstance(each, EpisodeStart)]
        steps = 0
        # Shown from its first life, and from one in the middle of a game.
        for first in (0, starts[1], starts[4]):
            with contextlib.closing(Shadow(recipe)) as shadow:
                for record in records[first:]:
                    match record:
                        case EpisodeStart():
                            shadow.begin(record)
                        case Step():
                            shadow.step(record)
                            steps += 1
        assert steps > 100 and reader.missed == 0
        reader.close()


def test_a_seed_that_a_wrapper_does_not_pass_on_changes_nothing():
    environment = stable_baselines3("BreakoutNoFrameskip-v4")
    environment.reset(seed=1)
    environment.get_wrapper_attr("was_real_done")
    carried = Carrier(environment).capture(5)
    assert carried.keys() >= {WRAPPERS, "np_random", "ale"}
    assert carried[WRAPPERS]["EpisodicLifeEnv"]["was_real_done"] is False
    environment.close()


def test_other_environments_carry_nothing_of_their_wrappers():
    environment = gymnasium.make("CartPole-v1")
    environment.reset(seed=1)
    assert Carrier(environment).capture(5) == {}
    environment.close()


def test_a_damaged_state_of_a_wrapper_is_an_error():
    environment = stable_baselines3("BreakoutNoFrameskip-v4")
    for carried in ({WRAPPERS: 3}, {WRAPPERS: {"EpisodicLifeEnv": {}}}):
        with pytest.raises(WireError, match="the state that the episode starts from is damaged"):
            restore(environment, carried)
    environment.close()


def test_a_reward_that_averages_over_those_before_is_no_copys():
    made = NormalizeReward(gymnasium.make("CartPole-v1"))
    with contextlib.closing(Broadcast(made)) as environment:
        environment.reset()
        announced = Announcement.from_json(RingReader(find_rings()[0]).announcement)
        assert announced.recipe is None
        assert "NormalizeReward averages" in announced.no_recipe
        assert "put Broadcast inside it" in announced.no_recipe
