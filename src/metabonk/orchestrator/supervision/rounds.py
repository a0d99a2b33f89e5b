"""One round of supervision after another, in the thread that the children end with."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from metabonk.messages.base import Problem
from metabonk.orchestrator.fleet.starts import Starts
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.processes import go2rtc
from metabonk.orchestrator.processes.exit_report import ExitReport
from metabonk.orchestrator.processes.supervisor import ChildState, Supervisor
from metabonk.orchestrator.supervision.hang_monitor import HangMonitor
from metabonk.orchestrator.supervision.health import EncoderQuarantine, HealthMonitor


class Part(Protocol):
    """Part of a fleet or a hub that has something to do in each round."""

    def tick(self) -> None:
        """Do what is due; never waits."""
        ...

    def problems(self) -> list[Problem]:
        """Return what an operator should know."""
        ...


class Revivable(Protocol):
    """Thread that is started again after an error."""

    @property
    def name(self) -> str:
        """Name of the thread."""
        ...

    def revive(self) -> bool:
        """Start it again if an error has ended it; return whether it was."""
        ...


@dataclass
class Supervision:
    """Handles exits and hangs, starts what is due, and reports the problems.

    Attributes:
        state: receives exits and problems.
        supervisor: of the children.
        quarantine: of encoders that crash them.
        health: of the machine.
        hangs: finds children that hang.
        parts: what else has something to do.
        threads: those that are started again after an error, beside ``health`` and ``hangs``.
        on_exit: called with each exit.
        clock: monotonic seconds.
    """

    state: FleetState
    supervisor: Supervisor
    quarantine: EncoderQuarantine
    health: HealthMonitor
    hangs: HangMonitor
    parts: Sequence[Part]
    threads: Sequence[Revivable]
    on_exit: Callable[[ExitReport], None] = lambda report: None
    clock: Callable[[], float] = time.monotonic
    _revivals: Counter[str] = field(default_factory=Counter)
    _starts: Starts = field(default_factory=Starts)

    def tick(self) -> None:
        """Make one round; nothing in it waits."""
        for report in self.supervisor.tick():
            self.state.on_exit(report.name, report.message)
            self._starts.on_exit(report.name, report.message, self.clock())
            self.quarantine.on_exit(report)
            self.on_exit(report)
        self.hangs.watch(self.supervisor.running())
        for hang in self.hangs.hangs():
            self.supervisor.stop_hung(hang.process, hang.reason, is_silent=hang.is_silent)
        for part in self.parts:
            part.tick()
        threads: list[Revivable] = [self.health, self.hangs, *self.threads]
        for thread in threads:
            if thread.revive():
                self._revivals[thread.name] += 1
        self.state.set_problems(
            [
                *self.supervisor.problems(),
                *self.health.problems(),
                *self.hangs.problems(),
                *(problem for part in self.parts for problem in part.problems()),
                *self._deaths(),
            ]
        )
        states = self.supervisor.states()
        self.state.set_starting(self._starts.update(states, self.clock()))
        go2rtc_runs = states.get(go2rtc.NAME) is ChildState.RUNNING
        self.state.set_go2rtc(go2rtc.address(self.state.settings) if go2rtc_runs else None)

    def _deaths(self) -> Iterator[Problem]:
        for name, count in self._revivals.items():
            yield Problem(
                message=f"an internal error ended the thread {name}, which was started again "
                f"({count} so far)",
                action="please report it, with logs/orchestrator.log",
            )
