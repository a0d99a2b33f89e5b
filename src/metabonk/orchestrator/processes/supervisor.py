"""Child processes: staggered starts, restarts with back-off, and an end that leaves nothing behind.

Everything here runs in the thread that calls ``tick``, which must live as long as the process: the
kernel ends children with the *thread* that started them (PR_SET_PDEATHSIG).
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from metabonk.errors import SettingsError
from metabonk.messages.base import Problem
from metabonk.orchestrator.processes.child_process import (
    ChildProcess,
    has_ended,
    kill_session,
    start_child,
)
from metabonk.orchestrator.processes.exit_report import ExitReport, fatal_message
from metabonk.orchestrator.processes.faults import Faults
from metabonk.system.files import read_tail
from metabonk.system.fork_server import ForkServer
from metabonk.system.process_ids import ProcessId, members, process_id, send

log = logging.getLogger(__name__)

EXIT_CONFIG = 2
"""Exit code for an unusable setting or game: a restart would end the same way."""

HEALTHY_AFTER_S = 60.0
"""A child that ran this long did not die of the way it was started: its back-off is reset."""

FIRST_BACKOFF_S = 0.5
SHOWN_S = 10.0
"""A death stays on display until the next process has run this long."""

ABORT_GRACE_S = 2.0
"""Time for a child that hangs to write its stack to the log before it is killed."""

REMOVAL_GRACE_S = 5.0
"""Time for a child that is removed to end by itself before it is killed."""

KILL_TIMEOUT_S = 1.0
"""Time that the kernel may take to end a killed child."""

POLL_S = 0.02
TAIL_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A process to keep running.

    Attributes:
        name: of the process.
        command: returns the command line; called at every start.
        log: file that its standard output and error are appended to.
        vital: the fleet ends if the process can't use its settings.
        environment: variables that differ from this process's.
        forked: started by the fork server; the command is ``python -m MODULE ARGUMENT …``.
        may_end: exit code 0 is no failure; it is started again unless it is removed.
        starts_quickly: no other start waits for it, and it for none.
    """

    name: str
    command: Callable[[], Sequence[str]]
    log: Path
    vital: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    forked: bool = False
    may_end: bool = False
    starts_quickly: bool = False


class ChildState(StrEnum):
    """State of a child process."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"


class Supervisor:
    """Keeps children running until they are removed, or until ``stop``.

    Args:
        specs: of the first children, in order of start.
        stagger_s: seconds between two starts.
        restart_backoff_max_s: longest pause before a restart, seconds.
        fork_server: starts the forked children; closed by ``stop``.
        on_change: called after every start and exit with the leaders of the sessions, by name.
        clock: monotonic seconds.

    Attributes:
        killed: True once a child has ended without cleaning up after itself.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        stagger_s: float,
        restart_backoff_max_s: float,
        fork_server: ForkServer | None = None,
        on_change: Callable[[Mapping[str, ProcessId]], None] = lambda running: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._stagger_s = stagger_s
        self._restart_backoff_max_s = restart_backoff_max_s
        self._fork_server = fork_server
        self._on_change = on_change
        self._clock = clock
        self._next_start = clock()
        self._faults = Faults()
        self.killed = False

    def tick(self) -> list[ExitReport]:
        """Handle exits, and start at most one process that is due.

        Returns:
            The exits since the last call.

        Raises:
            SettingsError: a vital child can't use a setting or a game; carries the child's message.
        """
        exits: list[ExitReport] = []
        for child in list(self._children):
            with self._faults.survive(f"the supervision of {child.spec.name}"):
                self._identify(child)
                self._kill_overdue(child)
                if (report := self._handle_exit(child)) is not None:
                    exits.append(report)
        if exits:
            self._notify()
        now = self._clock()
        may_start = now >= self._next_start
        due = (child for child in self._children if child.is_due(now))
        next_due = next((child for child in due if may_start or child.spec.starts_quickly), None)
        if next_due is None or not self._start(next_due, now):
            return exits
        if not next_due.spec.starts_quickly:
            self._next_start = now + self._stagger_s
        return exits

    def add(self, spec: ChildSpec) -> None:
        """Keep another child running; it must have a name that no other one has."""
        self._children.append(_Child(spec))

    def remove(self, name: str) -> None:
        """End a child and forget it; returns at once, and ``states`` has it until it has ended."""
        child = next(child for child in self._children if child.spec.name == name)
        if child.process is None:
            self._children.remove(child)
            return
        child.removed_at = self._clock()
        _signal(child, signal.SIGTERM)
        # A stopped process gets no SIGTERM.
        _signal(child, signal.SIGCONT)

    def stop_hung(self, process: ProcessId, reason: str, *, is_silent: bool) -> None:
        """Stop a child that hangs, unless it has ended or is being stopped.

        Args:
            process: of the child; a later one of the same name is not meant.
            reason: continues "omega-0 was stopped because …".
            is_silent: it does not answer either.
        """
        child = next((child for child in self._children if child.leader == process), None)
        if child is None or child.stopped_because is not None:
            return
        name, log_file = child.spec.name, child.spec.log
        log.error("%s is being stopped because %s; its stack goes to %s", name, reason, log_file)
        child.stopped_because, child.was_silent = reason, is_silent
        child.aborted_at = self._clock()
        _signal(child, signal.SIGABRT)
        # Of a stopped process even the stack can't be logged.
        _signal(child, signal.SIGCONT)

    def stop(self, grace_s: float = 3.0) -> None:
        """End every child and whatever it started: SIGTERM, then SIGKILL after ``grace_s``."""
        if self._fork_server is not None:
            self._fork_server.close()
        running = [child for child in self._children if child.process is not None]
        for child in running:
            # Only the child itself: it ends its game, and a game that ends first looks broken.
            _signal(child, signal.SIGTERM if child.stopped_because is None else signal.SIGKILL)
        self._wake(running)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            running = [child for child in running if not self._reap_at_last(child)]
            if not running:
                break
            time.sleep(POLL_S)
        for child in running:
            log.warning("%s did not end within %.0f s and was killed", child.spec.name, grace_s)
            self.killed = True
            _signal(child, signal.SIGKILL)
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while running and time.monotonic() < deadline:
            running = [child for child in running if not self._reap_at_last(child)]
            time.sleep(POLL_S)
        for child in running:
            log.error("%s waits for a disk or a driver and can't be killed", child.spec.name)
        for child in self._children:
            child.stopped = True
        self._notify()

    def states(self) -> dict[str, ChildState]:
        """Return every child's state, by name."""
        return {child.spec.name: child.state for child in self._children}

    def restarts(self) -> dict[str, int]:
        """Return how often each child was restarted, by name."""
        return {child.spec.name: max(0, child.starts - 1) for child in self._children}

    def problems(self) -> list[Problem]:
        """Report dead children, with the cause and the time of their restart, and failures."""
        now = self._clock()
        dead = [child.problem(now) for child in self._children if child.is_ailing(now)]
        return [*dead, *self._faults.problems()]

    def running(self) -> dict[str, ProcessId]:
        """Return the process of every running child, by name."""
        return {child.spec.name: child.leader for child in self._children if child.leader}

    def _can_start(self, spec: ChildSpec) -> bool:
        return not spec.forked or self._fork_server is None or self._fork_server.poll()

    def _start(self, child: "_Child", now: float) -> bool:
        """Start a child if the fork server is ready; return whether a start was tried."""
        spec = child.spec
        try:
            if not self._can_start(spec):
                return False
            child.last_start, child.starts = now, child.starts + 1
            spec.log.parent.mkdir(parents=True, exist_ok=True)
            with spec.log.open("ab") as output:
                child.log_start = output.tell()
                command = spec.command()
                fork_server = self._fork_server if spec.forked else None
                child.process = start_child(command, spec.environment, output, fork_server)
        except OSError as error:
            child.last_start = now
            child.last_exit = ExitReport(spec.name, 1, f"it can't be started: {error}")
            log.error("%s can't be started: %s", spec.name, error)
            self._schedule_restart(child, now)
            return True
        log.info("%s started (pid %d)", spec.name, child.process.pid)
        with self._faults.survive(f"the supervision of {spec.name}"):
            self._identify(child)
        return True

    def _identify(self, child: "_Child") -> None:
        if child.process is not None and child.leader is None:
            child.leader = process_id(child.process.pid)
            self._notify()

    def _kill_overdue(self, child: "_Child") -> None:
        asked_at, grace_s = child.aborted_at, ABORT_GRACE_S
        if child.stopped_because is None:
            asked_at, grace_s = child.removed_at, REMOVAL_GRACE_S
        if asked_at is not None and self._clock() - asked_at >= grace_s:
            _signal(child, signal.SIGKILL)

    def _wake(self, children: Sequence["_Child"]) -> None:
        """Let stopped children and games end by themselves: a stopped process gets no SIGTERM."""
        with self._faults.survive("the search for stopped processes"):
            for member in members(*(child.leader for child in children if child.leader)):
                send(member, signal.SIGCONT)

    def _handle_exit(self, child: "_Child") -> ExitReport | None:
        if not self._reap(child):
            return None
        report, now = child.last_exit, self._clock()
        assert report is not None
        if child.removed_at is not None:
            log.info("%s", report.message)
            self._children.remove(child)
            self._notify()
            return None
        if child.spec.may_end and report.code == 0:
            child.failures, child.last_exit = 0, None
            child.restart_at = now + FIRST_BACKOFF_S
            self._notify()
            return None
        log.error("%s", report.message)
        self.killed = self.killed or report.code != 0
        if report.code == EXIT_CONFIG and child.spec.vital and not child.was_healthy:
            raise SettingsError(report.error or report.message)
        self._schedule_restart(child, now)
        return report

    def _reap(self, child: "_Child") -> bool:
        """Reap the child if it has ended, after killing what is left of its session."""
        if child.process is None or not has_ended(child.process):
            return False
        kill_session(child.process, child.leader)
        self._bury(child)
        return True

    def _reap_at_last(self, child: "_Child") -> bool:
        """Reap the child if it has ended; what can't be found of its session is left."""
        assert child.process is not None
        pid = child.process.pid
        try:
            return self._reap(child)
        except OSError as error:
            log.error("%s (pid %d): its processes can't be found: %s", child.spec.name, pid, error)
            self._bury(child)
            return True

    def _bury(self, child: "_Child") -> None:
        assert child.process is not None
        child.last_exit = ExitReport(
            child.spec.name,
            child.process.wait(),
            fatal_message(read_tail(child.spec.log, TAIL_BYTES, child.log_start)),
            child.process.pid,
            child.stopped_because,
            was_silent=child.was_silent,
        )
        child.process = child.leader = child.stopped_because = None
        child.was_silent = False

    def _schedule_restart(self, child: "_Child", now: float) -> None:
        if now - child.last_start >= HEALTHY_AFTER_S:
            child.was_healthy, child.failures = True, 0
        pause_s = back_off(child.failures, self._restart_backoff_max_s)
        child.failures += 1
        child.restart_at = now + pause_s
        log.info("%s restarts in %.1f s", child.spec.name, pause_s)

    def _notify(self) -> None:
        self._on_change(
            {child.spec.name: child.leader for child in self._children if child.leader is not None}
        )


def back_off(failures: int, max_s: float) -> float:
    """Return the pause before a restart, seconds: doubled with each quick failure in a row."""
    return min(max_s, FIRST_BACKOFF_S * 2.0 ** min(failures, 20))


class _Child:
    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: ChildProcess | None = None
        self.leader: ProcessId | None = None
        self.log_start = 0
        self.last_start = 0.0
        self.restart_at = float("-inf")
        self.starts = 0
        self.failures = 0
        self.stopped_because: str | None = None
        self.was_silent = False
        self.aborted_at: float | None = None
        self.removed_at: float | None = None
        self.was_healthy = False
        self.stopped = False
        self.last_exit: ExitReport | None = None

    @property
    def state(self) -> ChildState:
        if self.stopped:
            return ChildState.STOPPED
        return ChildState.WAITING if self.process is None else ChildState.RUNNING

    def is_due(self, now: float) -> bool:
        return self.process is None and not self.stopped and now >= self.restart_at

    def is_ailing(self, now: float) -> bool:
        if self.last_exit is None or self.stopped:
            return False
        return self.process is None or now - self.last_start < SHOWN_S

    def problem(self, now: float) -> Problem:
        assert self.last_exit is not None
        if self.process is None:
            restart = f"it restarts in {max(0.0, self.restart_at - now):.0f} s"
        else:
            restart = "it was restarted"
        return Problem(
            message=self.last_exit.message, action=f"{restart}; see {self.spec.log} for details"
        )


def _signal(child: _Child, number: signal.Signals) -> None:
    """Send a signal to the child, which needs no descriptor: until it is reaped its pid is its."""
    if child.process is not None:
        os.kill(child.process.pid, number)
