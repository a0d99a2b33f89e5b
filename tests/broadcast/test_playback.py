"""Which episodes are shown: whole ones, the newest next, and never one with a gap."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

from metabonk.broadcast import playback as module
from metabonk.broadcast.playback import Playback, Shown
from metabonk.broadcast.recipe import recipe_of
from metabonk.broadcast.records import EpisodeStart, Record, Step, Thought
from metabonk.broadcast.shadow import Shadow
from metabonk.errors import EpisodeDiffers


@pytest.fixture
def shadow() -> Iterator[Shadow]:
    with contextlib.closing(gymnasium.make("CartPole-v1")) as environment:
        made = Shadow(recipe_of(environment, environment.unwrapped.spec))
    with contextlib.closing(made):
        yield made


def episode(number: int, steps: int = 100) -> list[Record]:
    """Return the records of an episode whose seed is its number."""
    environment: gymnasium.Env[Any, Any] = gymnasium.make("CartPole-v1")
    environment.reset(seed=number)
    records: list[Record] = [EpisodeStart(number, number, None)]
    for _ in range(steps):
        _, reward, terminated, truncated, _ = environment.step(1)
        records.append(Step(1, float(reward), terminated, truncated))
        if terminated:
            break
    environment.close()
    return records


def tics(playback: Playback) -> list[Shown]:
    shown = list[Shown]()
    while (next_one := playback.tic(draw=False)) is not None:
        shown.append(next_one)
    return shown


def test_an_episode_is_shown_step_by_step(shadow: Shadow):
    playback = Playback(shadow)
    assert playback.tic() is None
    records = episode(1)
    playback.add(records)
    shown = tics(playback)
    assert [each.steps for each in shown] == list(range(len(records)))
    assert [each.total_reward for each in shown] == [float(each.steps) for each in shown]
    assert [each.is_last for each in shown] == [False] * (len(records) - 1) + [True]
    assert {each.episode for each in shown} == {1}


def test_frames_are_drawn_when_they_are_wanted(shadow: Shadow):
    playback = Playback(shadow)
    playback.add(episode(1))
    first, second, third = playback.tic(), playback.tic(draw=False), playback.tic()
    assert first is not None and second is not None and third is not None
    assert first.pixels is not None and third.pixels is not None
    assert first.pixels.shape == (400, 600, 3) and second.pixels is None
    assert not np.array_equal(first.pixels, third.pixels)
    assert np.array_equal(playback.draw(), third.pixels)


def test_an_episode_that_is_played_now_is_followed(shadow: Shadow):
    playback = Playback(shadow)
    start, *steps = episode(1)
    playback.add([start])
    assert len(tics(playback)) == 1
    for step in steps:
        assert playback.tic() is None
        playback.add([step])
        (shown,) = tics(playback)
    assert shown.is_last


def test_of_many_episodes_whole_ones_are_shown_and_the_newest_is_next(shadow: Shadow):
    playback = Playback(shadow)
    playback.add(episode(1))
    assert playback.tic(draw=False) is not None
    for number in range(2, 20):
        playback.add(episode(number))
    shown = tics(playback)
    numbers = [each.episode for each in shown]
    assert numbers == sorted(numbers) and set(numbers) == {1, 19}
    assert sum(each.is_last for each in shown) == 2


def test_a_trainer_is_not_asked_for_more_than_the_next_episode(shadow: Shadow):
    playback = Playback(shadow)
    assert playback.wants_records
    start, *steps = episode(1)
    playback.add([start, *steps[:-1]])
    assert playback.wants_records, "its end may never come otherwise"
    playback.add(steps[-1:])
    assert not playback.wants_records
    assert playback.tic(draw=False) is not None
    assert playback.wants_records, "this one is shown"
    playback.add(episode(2))
    assert not playback.wants_records
    while playback.wants_records is False:
        assert playback.tic(draw=False) is not None
    playback.add(episode(3)[:3])
    playback.add(episode(4)[5:], has_gap=True)
    assert playback.wants_records
    assert Playback(shadow, "now").wants_records


def test_now_shows_the_newest_step(shadow: Shadow):
    playback = Playback(shadow, "now")
    playback.add(episode(1)[:4])
    assert [(each.steps, len(each.taken)) for each in tics(playback)] == [(0, 0), (3, 3)]
    playback.add([*episode(2), *episode(3)[:6]])
    shown = tics(playback)
    assert [(each.episode, each.steps) for each in shown] == [(3, 0), (3, 5)]
    assert shown[-1].total_reward == 5.0


def test_thoughts_are_shown_with_the_step_that_they_lead_to(shadow: Shadow):
    playback = Playback(shadow)
    start, first, second, *_ = episode(1)
    a, b, c = (Thought(text=text) for text in "abc")
    playback.add([a, start, b, c, first, second])
    taken = [(), (((b, c), first),), (((), second),)]
    assert [each.taken for each in tics(playback)] == taken


def test_after_a_gap_an_episode_ends_where_it_was_whole(shadow: Shadow):
    playback = Playback(shadow)
    records = episode(1)
    playback.add(records[:4])
    assert playback.tic(draw=False) is not None
    playback.add(records[6:], has_gap=True)
    assert [each.steps for each in tics(playback)] == [1, 2, 3]
    playback.add(episode(2))
    assert {each.episode for each in tics(playback)} == {2}


def test_an_episode_without_its_start_is_not_shown(shadow: Shadow):
    playback = Playback(shadow)
    playback.add(episode(1)[3:])
    assert playback.tic() is None
    playback.add(episode(2)[1:], has_gap=True)
    assert playback.tic() is None


def test_an_episode_that_was_cut_off_is_followed_by_the_next(shadow: Shadow):
    playback = Playback(shadow)
    playback.add(episode(1)[:3])
    assert len(tics(playback)) == 3
    playback.add(episode(2))
    assert {each.episode for each in tics(playback)} == {2}


def test_an_episode_that_is_too_far_ahead_is_shown_as_far_as_it_is_kept(
    shadow: Shadow, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MAX_BACKLOG", 3)
    playback = Playback(shadow)
    playback.add(episode(1))
    assert len(tics(playback)) == 4
    playback.add(episode(2)[:2])
    assert len(tics(playback)) == 2


def test_a_difference_comes_out_at_its_step(shadow: Shadow):
    playback = Playback(shadow)
    records = episode(1)
    records[3] = Step(1, 0.5)
    playback.add(records)
    for _ in range(3):
        assert playback.tic(draw=False) is not None
    with pytest.raises(EpisodeDiffers, match=r"in step 3 the reward is 1 and was 0\.5"):
        playback.tic()


def test_a_small_difference_is_told_by_all_its_digits(shadow: Shadow):
    playback = Playback(shadow)
    start, first, *_ = episode(1)
    assert isinstance(first, Step)
    playback.add([start, dataclasses.replace(first, reward=1.0000000000000002)])
    assert playback.tic(draw=False) is not None
    with pytest.raises(EpisodeDiffers, match=r"is 1\.0 and was 1\.0000000000000002 in"):
        playback.tic()


def test_what_the_trainer_plays_unasked_has_no_end_and_is_not_shown(shadow: Shadow):
    playback = Playback(shadow)
    playback.add(episode(1))
    playback.add(episode(2)[:4])
    assert playback.follows and not playback.wants_records
    playback.stop_recording()
    assert not playback.follows
    playback.add(episode(2)[4:])
    assert {each.episode for each in tics(playback)} == {1}
    assert playback.wants_records
    playback.add(episode(3))
    assert {each.episode for each in tics(playback)} == {3}


def test_an_episode_that_was_not_recorded_to_its_end_is_not_shown(shadow: Shadow):
    playback = Playback(shadow)
    playback.add([*episode(1)[:3], *episode(5)])
    assert {each.episode for each in tics(playback)} == {5}
    playback.add([*episode(6)[:3], *episode(7)])
    assert {each.episode for each in tics(playback)} == {7}, "it was reset in the middle"


def test_an_episode_that_is_shown_while_it_is_played_goes_on_unasked(shadow: Shadow):
    playback = Playback(shadow)
    start, *steps = episode(1)
    playback.add([start, *steps[:2]])
    assert len(tics(playback)) == 3 and playback.follows
    playback.stop_recording()
    playback.add(steps[2:])
    assert len(tics(playback)) == len(steps) - 2 and not playback.follows
