"""A trainer's speed: measured where it was recorded, and nowhere else."""

import pytest

from metabonk.broadcast.records import EpisodeStart, Note, Record, Step
from metabonk.broadcast.trainer_speed import TrainerSpeed


def steps(count: int, *, ends: bool = False) -> list[Record]:
    made: list[Record] = [Step(0, 1.0) for _ in range(count)]
    if ends:
        made[-1] = Step(0, 1.0, terminated=True)
    return made


def mean(speed: TrainerSpeed) -> float | None:
    return speed.steps_per_s(None, 0.0)


def test_steps_are_counted_between_the_times_at_which_they_were_written():
    speed = TrainerSpeed()
    speed.add(10.0, [EpisodeStart(0, None, None), *steps(70)])
    assert mean(speed) is None, "nobody knows when these began"
    speed.add(10.1, steps(100))
    speed.add(10.2, steps(50, ends=True))
    assert mean(speed) == pytest.approx(750)


def test_the_next_episode_goes_on_and_a_later_one_does_not():
    speed = TrainerSpeed()
    speed.add(1.0, steps(5, ends=True))
    speed.add(2.0, [EpisodeStart(0, None, None), *steps(100, ends=True)])
    assert mean(speed) is None, "what it followed is not known"
    speed.add(3.0, [EpisodeStart(1, None, None), *steps(100, ends=True)])
    assert mean(speed) == pytest.approx(100)
    speed.add(30.0, [EpisodeStart(9, None, None), *steps(500)])
    assert mean(speed) == pytest.approx(100)
    speed.add(31.0, steps(300))
    assert mean(speed) == pytest.approx(200)


def test_an_episode_that_was_not_recorded_to_its_end_is_a_gap():
    speed = TrainerSpeed()
    speed.add(1.0, [EpisodeStart(3, None, None), *steps(10)])
    speed.add(9.0, [EpisodeStart(4, None, None), *steps(10)])
    assert mean(speed) is None


def test_missed_records_are_a_gap():
    speed = TrainerSpeed()
    speed.add(1.0, steps(10))
    speed.add(2.0, steps(10), has_gap=True)
    assert mean(speed) is None
    speed.add(3.0, steps(10))
    assert mean(speed) == pytest.approx(10)


def test_notes_count_nothing_and_old_stretches_are_forgotten():
    speed = TrainerSpeed()
    for second in range(20):
        speed.add(second, steps(1000 if second < 10 else 10))
        speed.add(second + 0.5, [Note("still there")])
    assert mean(speed) == pytest.approx(10)


def test_a_trainer_that_learns_takes_no_steps_and_then_as_many_as_before():
    speed = TrainerSpeed()
    speed.add(10.0, steps(100))
    for tenths in range(1, 51):
        speed.add(10.0 + tenths / 10, steps(100))
    assert speed.steps_per_s(9.0, 15.5) == pytest.approx(1000), "as often as it is read"
    falling = [speed.steps_per_s(9.0, 15.0 + silent_s) for silent_s in (2, 4, 5.9)]
    assert falling == sorted(falling, reverse=True) and falling[0] < 900  # type: ignore[operator]
    assert speed.steps_per_s(9.0, 21.0) == 0
    assert speed.steps_per_s(None, 21.0) == pytest.approx(1000), "it is asked for nothing"
    assert speed.steps_per_s(16.0, 21.0) == pytest.approx(1000), "it may not have heard yet"
    for tenths in range(53):
        speed.add(75.0 + tenths / 10, steps(100))
    assert speed.steps_per_s(9.0, 80.3) == pytest.approx(1000)
