"""Recording of episodes."""

import numpy as np
import pytest

from metabonk.messages.workers import MAX_EPISODE_LOG_BYTES
from metabonk.policy import episode_recorder
from metabonk.policy.episode_log import EpisodeLog, EpisodeSetup, checksum_of, rounded
from metabonk.policy.episode_recorder import CHUNK_STEPS, EpisodeRecorder
from tests.support.episode_logs import CONTINUOUS, DISCRETE, MULTI_DISCRETE, SETUPS, played


def record(recorder: EpisodeRecorder, setup: EpisodeSetup, steps: int, seed: int) -> EpisodeLog:
    recorder.begin(seed, b"carried")
    for decision, transition in played(setup, steps, seed):
        recorder.add(decision, transition)
    recording = recorder.finish(policy_version=12, total_reward=1.25)
    assert recording is not None
    return EpisodeLog.from_bytes(recording.to_bytes() or b"")


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.game)
@pytest.mark.parametrize("steps", [1, CHUNK_STEPS, 2 * CHUNK_STEPS + 3])
def test_a_log_holds_what_was_decided_and_what_came_of_it(setup: EpisodeSetup, steps: int):
    log = record(EpisodeRecorder(setup), setup, steps, seed=3)
    decisions, transitions = zip(*played(setup, steps, seed=3), strict=True)
    assert (log.seed, log.carried) == (3, b"carried")
    assert (log.policy_version, log.total_reward) == (12, 1.25)
    for step, decision in enumerate(decisions):
        assert np.array_equal(log.action(step), decision.action)
    rewards = [transition.reward for transition in transitions]
    assert log.checksum == checksum_of(rewards)
    assert np.array_equal(log.rewards, rounded(rewards))
    assert np.array_equal(log.values, rounded([decision.value for decision in decisions]))
    assert log.tics.tolist() == [transition.tics for transition in transitions]
    probabilities = np.array([decision.probabilities for decision in decisions])
    assert np.abs(log.probabilities / 255 - probabilities).max(initial=0) < 0.5 / 255 + 1e-6


def test_episodes_follow_each_other_and_one_left_unfinished_is_forgotten():
    recorder = EpisodeRecorder(DISCRETE)
    recorder.begin(1, b"")
    for decision, transition in played(DISCRETE, CHUNK_STEPS + 1):
        recorder.add(decision, transition)
    for seed in (5, 6):
        log = record(recorder, DISCRETE, 10, seed)
        assert (log.seed, len(log)) == (seed, 10)


def test_an_encoding_that_waits_does_not_change_as_the_next_episode_is_played():
    recorder = EpisodeRecorder(DISCRETE)
    recorder.begin(1, b"")
    for decision, transition in played(DISCRETE, CHUNK_STEPS + 5):
        recorder.add(decision, transition)
    waiting = recorder.finish(1, 0.0)
    record(recorder, DISCRETE, CHUNK_STEPS + 9, seed=2)
    assert waiting is not None
    assert len(EpisodeLog.from_bytes(waiting.to_bytes() or b"")) == CHUNK_STEPS + 5


def test_an_episode_too_long_for_a_log_has_none_and_takes_no_memory(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(episode_recorder, "MAX_RAW_BYTES", 3 * CHUNK_STEPS * DISCRETE.step_bytes)
    recorder = EpisodeRecorder(DISCRETE)
    for steps, is_logged in ((3 * CHUNK_STEPS, True), (5 * CHUNK_STEPS, False), (9, True)):
        recorder.begin(0, b"")
        for decision, transition in played(DISCRETE, steps):
            recorder.add(decision, transition)
        assert len(recorder._chunks) <= 4
        assert (recorder.finish(0, 0.0) is not None) == is_logged


def test_a_log_that_does_not_compress_enough_is_left_out():
    recorder = EpisodeRecorder(CONTINUOUS)
    recorder.begin(0, np.random.default_rng(0).bytes(MAX_EPISODE_LOG_BYTES))
    for decision, transition in played(CONTINUOUS, 1):
        recorder.add(decision, transition)
    recording = recorder.finish(0, 0.0)
    assert recording is not None
    assert recording.to_bytes() is None


def test_rewards_beyond_a_float32_are_recorded():
    recorder = EpisodeRecorder(MULTI_DISCRETE)
    recorder.begin(0, b"")
    ((decision, transition),) = played(MULTI_DISCRETE, 1)
    recorder.add(decision, transition._replace(reward=1e300))
    recording = recorder.finish(0, 1e300)
    assert recording is not None
    log = EpisodeLog.from_bytes(recording.to_bytes() or b"")
    assert log.checksum == checksum_of([1e300])
    assert log.total_reward == 1e300
