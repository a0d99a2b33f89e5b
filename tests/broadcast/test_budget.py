"""Drawing in the trainer keeps to its share of the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabonk.broadcast.budget import MEMORY_S, DrawBudget


def draw(share: float, fps: float, costs: list[float], step_s: float) -> tuple[float, float, int]:
    """Return the time that passed, the time that was drawn for, and the number of frames."""
    now, drawn, frames = 100.0, 0.0, 0
    budget = DrawBudget(share, fps, now)
    for cost in costs:
        for _ in range(20):
            now += step_s
            if budget.is_due(now):
                budget.drew(now, now + cost)
                now, drawn, frames = now + cost, drawn + cost, frames + 1
    return now - 100.0, drawn, frames


@given(
    st.floats(0.001, 0.5),
    st.lists(st.floats(0.0005, 0.05), min_size=5, max_size=60),
    st.floats(0.0001, 0.05),
)
def test_drawing_never_takes_more_than_its_share(share: float, costs: list[float], step_s: float):
    passed, drawn, frames = draw(share, 1000, costs, step_s)
    assert frames >= 1
    # The first frame's cost is not known before, nor that of one which takes longer than the last.
    assert drawn <= share * passed + 2 * max(costs)


def test_a_quick_environment_is_drawn_at_its_pace():
    passed, _, frames = draw(0.5, 30, [0.0001] * 500, 0.001)
    assert frames == pytest.approx(30 * passed, rel=0.05)


def test_a_slow_one_is_drawn_as_often_as_its_share_allows():
    passed, drawn, _ = draw(0.03, 60, [0.002] * 2000, 0.001)
    assert drawn / passed == pytest.approx(0.03, rel=0.1)


def test_without_a_budget_only_the_first_frame_is_drawn():
    _, _, frames = draw(0.0, 60, [0.002] * 100, 0.001)
    assert frames == 1


def test_after_a_pause_there_is_no_burst():
    budget = DrawBudget(0.03, 1000, 0.0)
    budget.drew(0.0, 0.01)
    now, drawn = 3600.0, 0
    while budget.is_due(now):
        budget.drew(now, now + 0.01)
        now, drawn = now + 0.01, drawn + 1
    assert drawn <= 0.03 * MEMORY_S / 0.01 + 1
