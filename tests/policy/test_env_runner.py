"""One game and its episode."""

import numpy as np

from metabonk.policy import PolicySpec, Rollout, RolloutBuilder
from metabonk.policy.env_runner import EnvRunner, EpisodeEnd
from tests.support.worker_stand_ins import DESCRIPTION, TICS, Stepping, decision


def test_an_episode_that_ends_is_told_with_its_return_and_the_next_begins():
    game = Stepping(length=3)
    begun: list[int] = []
    lane = EnvRunner(game, 0, None, lambda: begun.append(game.steps))
    lane.begin()
    lived = [lane.step(decision(), 0) for _ in range(7)]
    assert [each.ended for each in lived] == [None, None, EpisodeEnd(3.0, 3)] * 2 + [None]
    assert begun == [0, 3, 6]
    assert (lane.seen() == 7).all()


def test_decisions_become_rollouts_that_the_learner_can_read():
    spec = PolicySpec.of(DESCRIPTION)
    lane = EnvRunner(Stepping(length=3), 0, RolloutBuilder(spec, 4))
    lane.begin()
    lived = [lane.step(decision(), version) for version in range(8)]
    sent = [each.rollout for each in lived]
    assert [rollout is not None for rollout in sent] == [False, False, False, True] * 2
    first = Rollout.from_bytes(sent[3] or b"")
    assert first.versions.tolist() == [0, 1, 2, 3]
    assert first.terminated.tolist() == [False, False, True, False]
    # The observation after the end is the first of the next episode, which shows as many steps.
    assert np.array_equal(first.observations[:, 0, 0, 0], [0, 1, 2, 3, 4])


def test_where_nothing_learns_there_are_no_rollouts():
    lane = EnvRunner(Stepping(), 0, None)
    lane.begin()
    assert all(lane.step(decision(), 0).rollout is None for _ in range(100))


def test_frames_are_drawn_only_for_who_takes_them():
    game = Stepping()
    lane = EnvRunner(game, 0, None)
    lane.begin()
    frames: list[object] = []
    lane.step(decision(), 0, frames.append)
    lane.step(decision(), 0)
    assert game.drawn == [True, False]
    assert len(frames) == TICS
