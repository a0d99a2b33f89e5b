"""A trainer's speed: measured where it was recorded, and nowhere else."""

import pytest

from metabonk.broadcast.records import EpisodeStart, Note, Record, Step
from metabonk.broadcast.trainer_speed import TrainerSpeed


def steps(count: int, *, ends: bool = False) -> list[Record]:
    made: list[Record] = [Step(0, 1.0) for _ in range(count)]
    if ends:
        made[-1] = Step(0, 1.0, terminated=True)
    return made


def test_steps_are_counted_between_the_times_at_which_they_were_written():
    speed = TrainerSpeed()
    speed.add(10.0, [EpisodeStart(0, None, None), *steps(70)])
    assert speed.steps_per_s is None, "nobody knows when these began"
    speed.add(10.1, steps(100))
    speed.add(10.2, steps(50, ends=True))
    assert speed.steps_per_s == pytest.approx(750)


def test_the_next_episode_goes_on_and_a_later_one_does_not():
    speed = TrainerSpeed()
    speed.add(1.0, steps(5, ends=True))
    speed.add(2.0, [EpisodeStart(0, None, None), *steps(100, ends=True)])
    assert speed.steps_per_s is None, "what it followed is not known"
    speed.add(3.0, [EpisodeStart(1, None, None), *steps(100, ends=True)])
    assert speed.steps_per_s == pytest.approx(100)
    speed.add(30.0, [EpisodeStart(9, None, None), *steps(500)])
    assert speed.steps_per_s == pytest.approx(100)
    speed.add(31.0, steps(300))
    assert speed.steps_per_s == pytest.approx(200)


def test_an_episode_that_was_not_recorded_to_its_end_is_a_gap():
    speed = TrainerSpeed()
    speed.add(1.0, [EpisodeStart(3, None, None), *steps(10)])
    speed.add(9.0, [EpisodeStart(4, None, None), *steps(10)])
    assert speed.steps_per_s is None


def test_missed_records_are_a_gap():
    speed = TrainerSpeed()
    speed.add(1.0, steps(10))
    speed.add(2.0, steps(10), has_gap=True)
    assert speed.steps_per_s is None
    speed.add(3.0, steps(10))
    assert speed.steps_per_s == pytest.approx(10)


def test_notes_count_nothing_and_old_stretches_are_forgotten():
    speed = TrainerSpeed()
    for second in range(20):
        speed.add(second, steps(1000 if second < 10 else 10))
        speed.add(second + 0.5, [Note("still there")])
    assert speed.steps_per_s == pytest.approx(10)
