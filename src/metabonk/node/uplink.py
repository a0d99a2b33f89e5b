"""Reports to the head twice a second, and the fence that falls when it doesn't answer."""

import logging
import threading
import time
from collections.abc import Callable

from metabonk.messages.base import Problem
from metabonk.messages.nodes import NodeOrders, NodeReport
from metabonk.node.head import EpochOver, Head, HeadUnreachable, Membership
from metabonk.orchestrator.nodes.clocks import clock_problems
from metabonk.system.contact import Contact
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
RETRY_S = 0.1
"""After a report without an answer: a network that is back must be noticed before the fence."""

LOST_AFTER_S = 10.0
"""The node's workers end by then. The head gives them to others after three times as long."""

REPORTED_AFTER_S = 3.0


def boot_time_s() -> float:
    """Return monotonic seconds that include times when the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Uplink:
    """Thread that reports to the head. What it knows may be asked from any thread.

    Args:
        head: is only used by this thread until ``close``.
        membership: of the node.
        compose: returns the report.
        on_orders: called with the answer, and the report that it is for.
        clock: seconds, also those of suspension.
    """

    name = "uplink"

    def __init__(
        self,
        head: Head,
        membership: Membership,
        compose: Callable[[], NodeReport],
        on_orders: Callable[[NodeOrders, NodeReport], None],
        *,
        clock: Callable[[], float] = boot_time_s,
    ) -> None:
        self._head = head
        self._membership = membership
        self._compose = compose
        self._on_orders = on_orders
        self._clock = clock
        self._contact = Contact("the head", "workers go on for a few seconds")
        self._answered_at = clock()
        self._due = float("-inf")
        self._clock_ahead_s = 0.0
        self._is_over = threading.Event()
        self._thread = PeriodicThread(self._report, RETRY_S, name=self.name)

    def start(self) -> None:
        """Start reporting."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the report that is on its way."""
        self._thread.close(LOST_AFTER_S)

    def why_lost(self) -> str | None:
        """Return why the node is not of the fleet any more; None while it is."""
        if self._is_over.is_set():
            return "the head has ended this node's epoch"
        if (silence_s := self._silence_s()) >= LOST_AFTER_S:
            return f"the head has not answered for {silence_s:.0f} s"
        return None

    def problems(self) -> list[Problem]:
        """Report that the head doesn't answer, or has another time."""
        if (silence_s := self._silence_s()) < REPORTED_AFTER_S:
            return list(clock_problems("this node", self._clock_ahead_s))
        left_s = max(0.0, LOST_AFTER_S - silence_s)
        return [
            Problem(
                message=f"the head has not answered for {silence_s:.0f} s; "
                f"the workers of this node end in {left_s:.0f} s",
                action="see whether it runs, and whether the network lets it through",
            )
        ]

    def _silence_s(self) -> float:
        return self._clock() - self._answered_at

    def _report(self) -> None:
        if self._is_over.is_set() or self._clock() < self._due:
            return
        report, sent_at = self._compose(), self._clock()
        try:
            orders = self._head.report(self._membership, report)
        except HeadUnreachable as error:
            self._contact.lost(error)
            return
        except EpochOver:
            self._is_over.set()
            return
        self._contact.found()
        self._due = sent_at + INTERVAL_S
        # An answer that comes after the fence has fallen changes nothing.
        if self.why_lost() is None:
            # Not when it arrived: the head may have been silent since it was sent.
            self._answered_at = sent_at
            self._clock_ahead_s = _ahead_s(report.clock, orders.clock, time.time())
            self._on_orders(orders, report)


def _ahead_s(sent_at: float, answered_at: float, arrived_at: float) -> float:
    """Return by how much this machine's clock is ahead for certain, however slow the answer was.

    Args:
        sent_at: Unix time here.
        answered_at: Unix time there.
        arrived_at: Unix time here.
    """
    return max(0.0, sent_at - answered_at) + min(0.0, arrived_at - answered_at)
