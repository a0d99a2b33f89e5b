"""What the learner says of itself."""

from metabonk.learner.appo import Counters, Update
from metabonk.learner.figures import WINDOW_S, Figures


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_steps_are_counted_per_second_and_forgotten_after_the_window():
    clock = Clock()
    figures = Figures(clock)
    clock.now += 10
    figures.updated(Update(500, 3, 1.5, {"value": 0.25}), Counters(1, 500, 3, 1, 0))
    status = figures.status()
    assert status.steps_per_s == 50
    assert status.steps_trained == 500
    assert status.steps_dropped == 3
    assert status.policy_version == status.updates == 1
    assert status.policy_lag == 1.5
    assert status.losses == {"value": 0.25}
    assert status.uptime_s == 10
    clock.now += WINDOW_S
    assert figures.status().steps_per_s == 0


def test_a_new_learner_has_done_nothing():
    status = Figures().status()
    assert status.steps_trained == status.policy_version == 0
    assert status.losses == {}


def test_counters_go_on_from_a_checkpoint():
    figures = Figures()
    figures.restored(Counters(7, 700, 1, 7, 2))
    assert figures.status().policy_version == 7
    assert figures.skipped() == 2


def test_an_update_that_learned_nothing_keeps_the_last_losses():
    figures = Figures()
    figures.updated(Update(10, 0, 2.0, {"value": 1.0}), Counters(1, 10, 0, 1, 0))
    figures.updated(Update(0, 10, 0.0), Counters(1, 10, 10, 1, 0))
    assert figures.status().losses == {"value": 1.0}
    assert figures.status().policy_lag == 2.0
    assert figures.status().steps_dropped == 10
