"""How large the optimiser's steps are."""

import pytest

from metabonk.learner.schedule import learning_rate
from metabonk.settings.schema import Learning


def test_without_a_schedule_the_step_size_stays():
    settings = Learning(learning_rate=1e-3, learning_rate_final=1e-5)
    assert learning_rate(settings, 0) == learning_rate(settings, 10**9) == 1e-3


@pytest.mark.parametrize(
    ("steps", "expected"), [(0, 1e-3), (250, 7.75e-4), (1000, 1e-4), (5000, 1e-4)]
)
def test_it_goes_in_a_straight_line_and_then_stays(steps: int, expected: float):
    settings = Learning(learning_rate=1e-3, learning_rate_final=1e-4, schedule_steps=1000)
    assert learning_rate(settings, steps) == pytest.approx(expected)


def test_it_may_grow_as_well():
    settings = Learning(learning_rate=1e-4, learning_rate_final=1e-3, schedule_steps=10)
    assert learning_rate(settings, 5) == pytest.approx(5.5e-4)
