"""Reports to a head that answers, falls silent, and ends the epoch."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from metabonk.messages import Featured
from metabonk.node.head import EpochOver, Head, HeadUnreachable, Membership
from metabonk.node.uplink import LOST_AFTER_S, REPORTED_AFTER_S, Uplink
from metabonk.node_messages import NodeOrders, NodeReport
from tests.support.clock import Clock

FEATURED = Featured(live=[], rotate_s=60.0, next=None, next_in_s=None)


class ScriptedHead:
    """Answers each report with what a test has set, and takes its time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answer: NodeOrders | Exception = NodeOrders(workers=[])
        self.takes_s = 0.0

    def report(self, membership: Membership, report: NodeReport) -> NodeOrders:
        self.clock.now += self.takes_s
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Setup:
    def __init__(self) -> None:
        self.clock = Clock()
        self.head = ScriptedHead(self.clock)
        self.orders: list[NodeOrders] = []
        self.uplink = Uplink(
            cast(Head, self.head),
            Membership("a", "head", 1),
            self.compose,
            lambda orders, report: self.orders.append(orders),
            clock=self.clock,
        )

    def compose(self) -> NodeReport:
        return NodeReport(
            head="head", epoch=1, clock=0.0, running=[], statuses=[], featured=FEATURED
        )

    def report(self) -> None:
        cast(Any, self.uplink)._report()


@pytest.fixture
def setup() -> Iterator[Setup]:
    yield Setup()


def test_a_head_that_answers_is_not_lost(setup: Setup):
    for _ in range(30):
        setup.clock.now += 1.0
        setup.report()
    assert setup.uplink.why_lost() is None and setup.uplink.problems() == []
    assert len(setup.orders) == 30


def test_ten_seconds_without_an_answer_lose_it(setup: Setup):
    setup.head.answer = HeadUnreachable("no route")
    setup.clock.now += REPORTED_AFTER_S
    setup.report()
    (problem,) = setup.uplink.problems()
    assert problem.message == (
        "the head has not answered for 3 s; the workers of this node end in 7 s"
    )
    assert setup.uplink.why_lost() is None
    setup.clock.now += LOST_AFTER_S - REPORTED_AFTER_S
    assert setup.uplink.why_lost() == "the head has not answered for 10 s"


def test_an_answer_counts_from_when_its_report_was_sent(setup: Setup):
    setup.head.takes_s = 4.0
    setup.report()
    setup.clock.now += LOST_AFTER_S - 4.0
    assert setup.uplink.why_lost() is not None


def test_an_answer_after_the_fence_changes_nothing(setup: Setup):
    setup.head.takes_s = LOST_AFTER_S
    setup.report()
    assert setup.uplink.why_lost() is not None and setup.orders == []


def test_a_void_epoch_is_over_at_once(setup: Setup):
    setup.head.answer = EpochOver()
    setup.report()
    assert setup.uplink.why_lost() == "the head has ended this node's epoch"
