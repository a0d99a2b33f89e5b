"""Maps are made only while somebody asks, and only of new decisions."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.policy import Decision
from metabonk.worker import saliency as gaze_module
from metabonk.worker.saliency import DecisionFrame, SaliencyThread
from tests.support.waiting import until
from tests.support.worker_stand_ins import PICTURE, decision


class Looking:
    """An actor whose map is always the same."""

    sees_pictures = True

    def __init__(self) -> None:
        self.asked = 0

    def attention(self, observation: NDArray[np.uint8], decision: Decision) -> NDArray[np.uint8]:
        self.asked += 1
        return np.array([[1, 2, 3]], np.uint8)


class Shown:
    """A hub that keeps what it is shown."""

    def __init__(self) -> None:
        self.wanted = False
        self.maps: list[tuple[float, int, int, bytes]] = []
        self.costs: list[float] = []

    def saliency_wanted(self) -> bool:
        return self.wanted

    def publish_saliency(
        self, captured_at: float, columns: int, rows: int, cells: bytes, cost: float
    ) -> None:
        self.maps.append((captured_at, columns, rows, cells))
        self.costs.append(cost)


@pytest.fixture
def looking() -> Looking:
    return Looking()


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def gaze(
    looking: Looking, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SaliencyThread]:
    monkeypatch.setattr(gaze_module, "PERIOD_S", 0.005)
    made = SaliencyThread(looking, shown)  # type: ignore[arg-type]
    made.start()
    yield made
    made.close()


def test_nothing_is_worked_out_until_somebody_asks(
    gaze: SaliencyThread, looking: Looking, shown: Shown
):
    for number in range(20):
        gaze.consider(DecisionFrame(float(number), PICTURE, decision()))
        until("it has been looked at", lambda: gaze._newest is None)
    assert looking.asked == 0
    shown.wanted = True
    gaze.consider(DecisionFrame(20.0, PICTURE, decision()))
    until("it is shown", lambda: shown.maps)
    assert shown.maps == [(20.0, 3, 1, b"\x01\x02\x03")]
    assert shown.costs[0] > 0, "what it took is told"


def test_a_decision_is_shown_once(gaze: SaliencyThread, looking: Looking, shown: Shown):
    shown.wanted = True
    for number in (1, 2, 3):
        gaze.consider(DecisionFrame(float(number), PICTURE, decision()))
        until("it is shown", lambda number=number: len(shown.maps) == number)
    assert looking.asked == 3
