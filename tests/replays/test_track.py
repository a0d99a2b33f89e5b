"""Thoughts in step with a replay."""

import dataclasses

import numpy as np
import pytest

from metabonk.games import ActionKind, GameDescription
from metabonk.policy.episode_log import EpisodeLog, EpisodeSetup, checksum_of
from metabonk.replays.track import make_track

GAME = GameDescription("doom:basic", (72, 128, 3), ("left", "right"), tics_per_s=35.0)

SETUP = EpisodeSetup("doom:basic", {}, 4, {}, ActionKind.DISCRETE, (2,))

LOG = EpisodeLog(
    SETUP,
    seed=1,
    carried=b"",
    actions=np.array([0, 1, 1], np.uint8),
    tics=np.array([4, 4, 2], np.uint16),
    rewards=np.array([0.0, -1.0, 5.5], np.float32),
    values=np.array([2.0, 3.0, 4.0], np.float32),
    probabilities=np.array([[255, 0], [51, 204], [128, 127]], np.uint8),
    checksum=checksum_of([0.0, -1.0, 5.5]),
    policy_version=12,
    total_reward=4.5,
)


def test_thoughts_are_at_the_first_frame_after_their_step():
    track = make_track(LOG, GAME)
    # Frame 0 is of the beginning, frames 1 to 4 are of the first step.
    assert track.times == pytest.approx([1 / 35, 5 / 35, 9 / 35])
    assert track.duration_s == pytest.approx(11 / 35)
    assert track.actions == ["left", "right"]
    assert track.chosen == [0, 1, 1]
    assert track.probabilities == [[1.0, 0.0], [0.2, 0.8], [0.502, 0.498]]
    assert track.values == [2.0, 3.0, 4.0]
    assert track.rewards == [0.0, -1.0, 5.5]
    assert (track.total_reward, track.policy_version) == (4.5, 12)


def test_continuous_actions_have_no_probabilities_and_no_index():
    setup = EpisodeSetup("gym:Pendulum-v1", {}, 4, {}, ActionKind.CONTINUOUS, axes=1)
    log = dataclasses.replace(
        LOG,
        setup=setup,
        actions=np.zeros((3, 1), np.float32),
        probabilities=np.zeros((3, 0), np.uint8),
    )
    game = GameDescription(
        "gym:Pendulum-v1", (3,), ("torque",), action_kind=ActionKind.CONTINUOUS, tics_per_s=30.0
    )
    track = make_track(log, game)
    assert track.actions == []
    assert track.chosen == [None] * 3
    assert track.probabilities == [[]] * 3


def test_several_choices_have_the_probabilities_of_all_options_and_no_index():
    setup = EpisodeSetup("gym:x", {}, 1, {}, ActionKind.MULTI_DISCRETE, (2, 3))
    log = dataclasses.replace(
        LOG,
        setup=setup,
        actions=np.zeros((3, 2), np.uint8),
        probabilities=np.full((3, 5), 51, np.uint8),
    )
    names = ("a0", "a1", "b0", "b1", "b2")
    game = GameDescription("gym:x", (3,), names, 1.0, ActionKind.MULTI_DISCRETE, (2, 3))
    track = make_track(log, game)
    assert track.actions == list(names)
    assert track.chosen == [None] * 3
    assert track.probabilities == [[0.2] * 5] * 3
