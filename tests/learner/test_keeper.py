"""When what is saved."""

import logging
from pathlib import Path

import pytest

from metabonk.learner.appo import Learner
from metabonk.learner.checkpoint import best_return
from metabonk.learner.keeper import BEST_EVERY_S, FEWEST, WINDOW, Keeper
from metabonk.policy import EndedEpisode
from metabonk.policy.weights import checkpoint_files
from metabonk.settings.schema import Learning
from tests.learner.rollouts import made_up
from tests.policy.specs import NUMBERS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


def trained() -> Learner:
    learner = Learner(NUMBERS, Learning(checkpoint_s=60))
    learner.update([made_up(8, spec=NUMBERS)])
    return learner


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(trained(), tmp_path, CLOCK)


def ended(total_reward: float, count: int = FEWEST) -> list[EndedEpisode]:
    return [EndedEpisode(total_reward=total_reward, length=1)] * count


def pass_time(seconds: float) -> None:
    CLOCK.now += seconds


def test_the_newest_is_saved_by_time(keeper: Keeper, tmp_path: Path):
    pass_time(59)
    keeper.save_what_is_due()
    assert checkpoint_files(tmp_path) == []
    pass_time(1)
    keeper.save_what_is_due()
    assert len(checkpoint_files(tmp_path)) == 1


def test_the_best_is_saved_whenever_it_is_beaten_and_not_otherwise(keeper: Keeper, tmp_path: Path):
    for total_reward, best in [(1, 1), (5, 5), (3, 5), (4, 5), (6, 6)]:
        keeper.ended(ended(total_reward, WINDOW))
        pass_time(BEST_EVERY_S)
        keeper.save_what_is_due()
        assert best_return(tmp_path) == best


def test_a_few_lucky_episodes_are_no_best(keeper: Keeper, tmp_path: Path):
    keeper.ended(ended(100, FEWEST - 1))
    keeper.save_what_is_due()
    assert best_return(tmp_path) is None
    keeper.ended(ended(100, 1))
    keeper.save_what_is_due()
    assert best_return(tmp_path) == 100


def test_the_best_is_not_saved_with_every_update(keeper: Keeper, tmp_path: Path):
    for total_reward in (1, 2, 3):
        keeper.ended(ended(total_reward, WINDOW))
        pass_time(BEST_EVERY_S / 4)
        keeper.save_what_is_due()
    assert best_return(tmp_path) == 1


def test_a_run_that_goes_on_keeps_its_best_until_it_is_beaten(keeper: Keeper, tmp_path: Path):
    keeper.ended(ended(50))
    keeper.save_what_is_due()
    later = Keeper(trained(), tmp_path, CLOCK)
    later.ended(ended(40))
    later.save_what_is_due()
    assert best_return(tmp_path) == 50
    later.ended(ended(70, WINDOW))
    pass_time(BEST_EVERY_S)
    later.save_what_is_due()
    assert best_return(tmp_path) == 70


def test_the_mean_is_over_the_last_hundred(keeper: Keeper):
    assert keeper.mean_return is None
    keeper.ended(ended(1000, 50))
    keeper.ended(ended(1, WINDOW))
    assert keeper.mean_return == 1


def test_a_learner_that_learned_nothing_is_not_saved(tmp_path: Path):
    Keeper(Learner(NUMBERS, Learning()), tmp_path, CLOCK).save()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_costs_a_checkpoint_and_the_next_attempt_is_made(
    keeper: Keeper, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "best.partial").symlink_to("/dev/full")
    keeper.ended(ended(5))
    with caplog.at_level(logging.ERROR):
        keeper.save_what_is_due()
    assert "No space left on device. Training goes on" in caplog.text
    assert best_return(tmp_path) is None
    pass_time(BEST_EVERY_S)
    keeper.save_what_is_due()
    assert best_return(tmp_path) == 5
