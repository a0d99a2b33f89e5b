"""Maps are computed only while somebody asks, and only of new decisions."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.policy import Decision
from metabonk.worker import saliency as saliency_module
from metabonk.worker.saliency import DecisionFrame, SaliencyThread
from tests.support.waiting import until
from tests.support.worker_stand_ins import PIXELS, decision


class FakeActor:
    """An actor whose saliency map is always the same."""

    observes_images = True

    def __init__(self) -> None:
        self.computed = 0

    def saliency(self, observation: NDArray[np.uint8], decision: Decision) -> NDArray[np.uint8]:
        self.computed += 1
        return np.array([[1, 2, 3]], np.uint8)


class FakeHub:
    """A hub that keeps the maps it is given."""

    def __init__(self) -> None:
        self.wanted = False
        self.maps: list[tuple[float, int, int, bytes]] = []
        self.costs: list[float] = []

    def saliency_wanted(self) -> bool:
        return self.wanted

    def publish_saliency(
        self, captured_at: float, columns: int, rows: int, cells: bytes, cost: float
    ) -> None:
        self.costs.append(cost)
        self.maps.append((captured_at, columns, rows, cells))


@pytest.fixture
def actor() -> FakeActor:
    return FakeActor()


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


@pytest.fixture
def thread(
    actor: FakeActor, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SaliencyThread]:
    monkeypatch.setattr(saliency_module, "PERIOD_S", 0.005)
    made = SaliencyThread(actor, hub)  # type: ignore[arg-type]
    made.start()
    yield made
    made.close()


def test_nothing_is_computed_until_somebody_asks(
    thread: SaliencyThread, actor: FakeActor, hub: FakeHub
):
    for number in range(20):
        thread.submit(DecisionFrame(float(number), PIXELS, decision()))
        until("it is taken", lambda: thread._newest is None)
    assert actor.computed == 0
    hub.wanted = True
    thread.submit(DecisionFrame(20.0, PIXELS, decision()))
    until("it is published", lambda: hub.maps)
    assert hub.maps == [(20.0, 3, 1, b"\x01\x02\x03")]
    assert hub.costs[0] > 0, "its cost is published"


def test_a_decision_is_mapped_once(thread: SaliencyThread, actor: FakeActor, hub: FakeHub):
    hub.wanted = True
    for number in (1, 2, 3):
        thread.submit(DecisionFrame(float(number), PIXELS, decision()))
        until("it is published", lambda number=number: len(hub.maps) == number)
    assert actor.computed == 3
