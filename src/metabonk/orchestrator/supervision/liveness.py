"""The rule by which a child process counts as hung: it makes no progress. Pure.

A child counts the turns of its main loops. A loop that does not turn hangs, unless it had to wait
for a CPU or a disk: a busy machine makes everything slow. Before the first turn, a child that
computes is starting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from metabonk.messages.base import Loop
from metabonk.system.process_ids import ProcessId
from metabonk.system.thread_usage import SessionUsage, ThreadUsage

SUSPECT_AFTER_S = 2.0
"""From then on it is observed what a child without progress does instead."""

REPORT_AFTER_S = 5.0
HUNG_AFTER_S = 15.0
"""Unexcused seconds without progress, at which a child is restarted. A turn takes milliseconds, a
Gymnasium game may take seconds for one; nothing that works takes that long."""

NOT_STARTED_AFTER_S = 20.0
"""The same before the first turn. A start takes four seconds, nearly all of them computing."""

PATIENCE_S = 300.0
"""No excuse counts for longer."""

BUSY = 0.1
"""Share of a core above which a child computes."""


@dataclass(frozen=True, slots=True)
class Stall:
    """A child that makes no progress.

    Attributes:
        process: the child.
        loop: that does not turn; None for a child that has not started yet.
        since_s: seconds without progress.
        unexcused_s: those in which it could have made some.
    """

    process: ProcessId
    loop: str | None
    since_s: float
    unexcused_s: float

    @property
    def is_reportable(self) -> bool:
        """True if an operator should know."""
        return self.unexcused_s >= REPORT_AFTER_S

    @property
    def is_hung(self) -> bool:
        """True if only a restart helps."""
        limit_s = NOT_STARTED_AFTER_S if self.loop is None else HUNG_AFTER_S
        return self.unexcused_s >= limit_s or self.since_s >= PATIENCE_S

    @property
    def description(self) -> str:
        """Missing progress and its duration; continues "because it …"."""
        what = "has not started" if self.loop is None else "has made no progress"
        return f"{what} for {self.since_s:.0f} s"


@dataclass(slots=True)
class _LoopRecord:
    turns: int
    turned_at: float
    excused_s: float = 0.0


@dataclass(slots=True)
class _ChildRecord:
    process: ProcessId
    loops: dict[str | None, _LoopRecord]
    usage: SessionUsage = field(default_factory=dict)
    usage_at: float | None = None


class Liveness:
    """Progress of every child, by name. A record belongs to one process, not to its name."""

    def __init__(self) -> None:
        self._children: dict[str, _ChildRecord] = {}

    def observe(
        self, name: str, process: ProcessId, turns: Mapping[str, int] | None, now: float
    ) -> None:
        """Take note of what is known about a running child.

        Args:
            name: of the child.
            process: that runs now.
            turns: of the loops that it runs, as it reported last; None if it does not answer.
            now: monotonic seconds.
        """
        record = self._children.get(name)
        if record is None or record.process != process:
            record = _ChildRecord(process, {None: _LoopRecord(0, now)})
            self._children[name] = record
        if turns is None:
            return
        if not turns:
            if None not in record.loops:
                record.loops = {None: _LoopRecord(0, now)}
            return
        known, record.loops = record.loops, {}
        for loop, count in turns.items():
            last = known.get(loop)
            # A late report of an earlier count is no progress.
            if last is None or count > last.turns:
                last = _LoopRecord(count, now)
            record.loops[loop] = last

    def keep(self, names: set[str]) -> None:
        """Forget all children but these."""
        self._children = {name: each for name, each in self._children.items() if name in names}

    def suspects(self, now: float) -> dict[str, ProcessId]:
        """Return the children whose usage is to be measured."""
        return {
            name: record.process
            for name, record in self._children.items()
            if any(now - loop.turned_at >= SUSPECT_AFTER_S for loop in record.loops.values())
        }

    def excuse(self, name: str, usage: SessionUsage, now: float) -> None:
        """Excuse a suspect for the time in which it could not have made progress."""
        record = self._children[name]
        before, since = record.usage, record.usage_at
        record.usage, record.usage_at = usage, now
        if since is None:
            return
        for loop, each in record.loops.items():
            # Usage that was measured before the last turn says nothing about the time after it.
            if since >= each.turned_at:
                each.excused_s += excused_s(loop, before, usage, now - since)

    def stalls(self, now: float) -> dict[str, Stall]:
        """Return the longest stall of each child that is suspect, by name."""
        found = {}
        for name in self.suspects(now):
            record = self._children[name]
            stalls = [
                Stall(
                    record.process,
                    loop,
                    now - each.turned_at,
                    max(0.0, now - each.turned_at - each.excused_s),
                )
                for loop, each in record.loops.items()
            ]
            found[name] = max(stalls, key=lambda stall: stall.unexcused_s)
        return found


def excused_s(
    loop: str | None, before: SessionUsage, after: SessionUsage, elapsed_s: float
) -> float:
    """Return the part of an interval in which a loop could not have turned, seconds.

    Args:
        loop: that did not turn; None before the first.
        before: usage at the start of the interval.
        after: usage at its end.
        elapsed_s: length of the interval.
    """
    threads = [(before[thread], usage) for thread, usage in after.items() if thread in before]
    if loop is Loop.LIVE and threads:
        # Those beside a live game, at their low priority, wait for a CPU all the time.
        foreground = min(usage.nice for _, usage in threads)
        threads = [each for each in threads if each[1].nice == foreground]
    # A process that waits for a disk can't be ended either.
    if any(usage.state == "D" for _, usage in threads):
        return elapsed_s
    waited_s = max((_waited_s(*each, elapsed_s) for each in threads), default=0.0)
    if loop in (None, Loop.TRAIN):
        # Loading or a large batch may take a while.
        ran_s = sum(now.ran_s - earlier.ran_s for earlier, now in threads)
        if ran_s + waited_s >= BUSY * elapsed_s:
            return elapsed_s
    return min(waited_s, elapsed_s)


def _waited_s(before: ThreadUsage, after: ThreadUsage, elapsed_s: float) -> float:
    if before.waited_s is None or after.waited_s is None:
        return elapsed_s if before.state == after.state == "R" else 0.0
    return after.waited_s - before.waited_s
