"""Reports to a head that answers, falls silent, and ends the epoch."""

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from metabonk.messages.fleet import Featured
from metabonk.messages.nodes import NodeOrders, NodeReport
from metabonk.node.head import EpochOver, Head, HeadUnreachable, Membership
from metabonk.node.uplink import LOST_AFTER_S, REPORTED_AFTER_S, Uplink
from tests.support.clock import Clock

FEATURED = Featured(live=[], rotate_s=60.0, next=None, next_in_s=None)


class ScriptedHead:
    """Answers each report with what a test has set, and takes its time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answer: NodeOrders | Exception = NodeOrders(workers=[], clock=time.time())
        self.takes_s = 0.0

    def report(self, membership: Membership, report: NodeReport) -> NodeOrders:
        self.clock.now += self.takes_s
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Setup:
    def __init__(self) -> None:
        self.clock = Clock()
        self.sent_at = time.time()
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
            head="head", epoch=1, clock=self.sent_at, running=[], statuses=[], featured=FEATURED
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


def test_a_clock_that_is_an_hour_wrong_is_a_problem_on_the_nodes_terminal(setup: Setup):
    setup.head.answer = NodeOrders(workers=[], clock=time.time() + 3600)
    setup.report()
    (problem,) = setup.uplink.problems()
    assert problem.message.startswith("the clock of this node is 3600 s behind the head's")
    setup.head.answer = NodeOrders(workers=[], clock=time.time() - 5)
    # Five seconds that the answer took.
    setup.sent_at = time.time() - 10
    setup.clock.now += 1.0
    setup.report()
    assert setup.uplink.problems() == []


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
