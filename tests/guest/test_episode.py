"""What is known of the episode that is shown: all of it, or that it began unseen."""

import math

import numpy as np
import pytest

from metabonk.broadcast.records import EpisodeStart, Note, Progress, Record, Step, Thought
from metabonk.guest.episode import MAX_THOUGHTS, ShownEpisode


def shown(*records: Record, has_episodes: bool = True) -> ShownEpisode:
    episode = ShownEpisode(has_episodes=has_episodes)
    for record in records:
        episode.add(record)
    return episode


def test_steps_and_rewards_are_summed_up():
    episode = shown(EpisodeStart(4, None, None), Step(0, 1.0), Step(1, 0.5), Note("hello"))
    assert (episode.number, episode.steps, episode.total_reward) == (4, 2, 1.5)
    assert episode.last_return is None
    episode.add(Step(1, -1.0, truncated=True))
    assert episode.last_return == 0.5 and episode.steps_shown == 3
    episode.add(EpisodeStart(6, None, None))
    assert (episode.number, episode.steps, episode.total_reward) == (6, 0, 0.0)
    assert episode.last_return == 0.5


def test_an_episode_that_began_unseen_has_no_return():
    episode = shown(Thought(value=1.0), Step(0, 1.0), Step(0, 1.0, terminated=True))
    assert episode.steps is None and episode.total_reward is None
    assert episode.last_return is None and episode.take_thoughts() == ()
    episode.add(EpisodeStart(1, None, None))
    episode.add(Step(0, 1.0))
    assert episode.total_reward == 1.0
    episode.lose()
    episode.add(Step(0, 1.0, terminated=True))
    assert episode.total_reward is None and episode.last_return is None


def test_an_episode_of_which_records_were_missed_is_known_again_by_its_progress():
    episode = shown(EpisodeStart(3, None, None), Step(0, 1.0))
    episode.lose()
    episode.add(Step(0, 1.0))
    episode.add(Progress(3, 40, 38.5))
    assert (episode.number, episode.steps, episode.total_reward) == (3, 40, 38.5)
    episode.add(Step(0, 1.0, terminated=True))
    assert (episode.steps, episode.last_return) == (41, 39.5)


def test_thoughts_carry_what_the_policy_said_and_what_came_of_it():
    said = Thought(np.array([0.25, 0.75], np.float32), 1.5, "left\x1b[31m?")
    episode = shown(EpisodeStart(4, None, None), said, Step(np.int64(1), 2.0), Step(0.3, 1.0))
    first, second = episode.take_thoughts()
    assert (first.action, first.probabilities, first.value) == (1, [0.25, 0.75], 1.5)
    assert first.text is not None and "\x1b" not in first.text
    assert (first.reward, first.episode_return, first.episode, first.step) == (2.0, 2.0, 5, 1)
    assert (second.action, second.probabilities, second.value) == (None, [], None)
    assert (second.reward, second.episode_return, second.step) == (1.0, 3.0, 2)
    assert episode.take_thoughts() == ()


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf, 1e300])
def test_numbers_that_are_none_can_be_sent(reward: float):
    episode = shown(EpisodeStart(0, None, None), Thought(value=reward), Step(0, reward))
    (thought,) = episode.take_thoughts()
    for each in (thought.reward, thought.value, thought.episode_return, episode.total_reward):
        assert each is not None and math.isfinite(each)


def test_thoughts_that_wait_are_bounded():
    episode = shown(EpisodeStart(0, None, None), *[Step(0, 1.0)] * 1000)
    thoughts = episode.take_thoughts()
    assert len(thoughts) == MAX_THOUGHTS and thoughts[-1].step == 1000
    episode.add(Thought(np.ones(5000, np.float32)))
    episode.add(Step(0, 1.0))
    assert episode.take_thoughts()[0].probabilities == []


def test_a_stream_counts_from_when_it_is_watched_and_may_have_texts_alone():
    episode = shown(Step(None, 2.0), Thought(text="half done"), has_episodes=False)
    reward, text = episode.take_thoughts()
    assert (reward.episode_return, reward.action, reward.text) == (2.0, None, None)
    assert (text.episode_return, text.reward, text.text) == (2.0, 0.0, "half done")
    episode.lose()
    assert episode.total_reward == 2.0
