"""Time in which the orchestrator itself did not run."""

import pytest

from metabonk.orchestrator.awake import AwakeClock


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


def test_it_runs_while_it_is_asked_all_the_time(ticks: Ticks):
    clock = AwakeClock(ticks)
    began = clock()
    for _ in range(20):
        ticks.now += 0.25
        clock()
    assert clock() - began == pytest.approx(5.0)


def test_it_stands_still_while_the_process_does_and_runs_on_from_there(ticks: Ticks):
    clock = AwakeClock(ticks)
    began = clock()
    for pause in (30.0, 0.25, 3600.0, 0.25):
        ticks.now += pause
        clock()
    assert clock() - began == pytest.approx(0.5)
