"""Environment runners: episodes and rollouts of one game."""

import itertools
from typing import Any

import numpy as np

from metabonk.frame import Frame
from metabonk.games import FrameSink, Transition
from metabonk.policy import EpisodeEnd, PolicySpec, Rollout, RolloutBuilder
from metabonk.policy.env_runner import EnvRunner
from tests.support.frames import drawing_into
from tests.support.worker_stand_ins import DESCRIPTION, TICS, SteppingGame, decision


def test_a_finished_episode_is_returned_and_the_next_begins():
    game = SteppingGame(length=3)
    resets: list[int] = []
    runner = EnvRunner(
        game, 0, None, seeds=iter([9, 5, 7]), on_reset=lambda: resets.append(game.steps)
    )
    runner.reset()
    results = [runner.step(decision()) for _ in range(7)]
    episode_end = EpisodeEnd(total_reward=3.0, length=3)
    assert [each.episode_end for each in results] == [None, None, episode_end] * 2 + [None]
    assert resets == [0, 3, 6]
    assert game.seeds == [9, 5, 7]
    assert (runner.observation == 7).all()


def test_steps_become_rollouts_that_the_learner_can_read():
    spec = PolicySpec.of(DESCRIPTION)
    runner = EnvRunner(SteppingGame(length=3), 0, RolloutBuilder(spec, 4), seeds=itertools.count())
    runner.reset()
    rollouts = [runner.step(decision(version)).rollout for version in range(8)]
    assert [rollout is not None for rollout in rollouts] == [False, False, False, True] * 2
    first = Rollout.from_bytes(rollouts[3] or b"")
    assert first.versions.tolist() == [0, 1, 2, 3]
    assert first.terminated.tolist() == [False, False, True, False]
    second = Rollout.from_bytes(rollouts[7] or b"")
    episode_end = EpisodeEnd(total_reward=3.0, length=3)
    assert first.episodes == second.episodes == (episode_end,)
    # The observation after the end is the first of the next episode; each shows the step count.
    assert np.array_equal(first.observations[:, 0, 0, 0], [0, 1, 2, 3, 4])


def test_a_lost_life_ends_what_is_learned_from_but_not_the_episode():
    class Lives(SteppingGame):
        def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
            played = super().step(action, on_frame)
            return played._replace(life_lost=self.steps == 2)

    lost: list[int] = []
    game = Lives(length=4)
    runner = EnvRunner(
        game,
        0,
        RolloutBuilder(PolicySpec.of(DESCRIPTION), 4),
        seeds=itertools.count(),
        on_life_lost=lambda: lost.append(game.steps),
    )
    runner.reset()
    *_, last = [runner.step(decision()) for _ in range(4)]
    rollout = Rollout.from_bytes(last.rollout or b"")
    assert rollout.terminated.tolist() == [False, True, False, True]
    assert rollout.episodes == (last.episode_end,) == (EpisodeEnd(total_reward=4.0, length=4),)
    assert lost == [2]


def test_without_a_builder_there_are_no_rollouts():
    runner = EnvRunner(SteppingGame(), 0, None, seeds=itertools.count())
    runner.reset()
    assert all(runner.step(decision()).rollout is None for _ in range(100))


def test_frames_are_drawn_only_for_a_sink():
    game = SteppingGame()
    runner = EnvRunner(game, 0, None, seeds=itertools.count())
    runner.reset()
    frames: list[Frame] = []
    runner.step(decision(), drawing_into(frames))
    runner.step(decision())
    assert game.drawn == [True, False]
    assert len(frames) == TICS
