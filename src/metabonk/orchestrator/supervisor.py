"""Child processes: staggered starts, restarts with back-off, and an end that leaves nothing behind.

Everything here runs in the thread that calls ``tick``, which must live as long as the process: the
kernel ends children with the *thread* that started them (PR_SET_PDEATHSIG).
"""

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from metabonk.errors import SettingsError
from metabonk.messages import Problem
from metabonk.orchestrator.exit_report import ExitReport, fatal_message
from metabonk.settings.environment import environment_with
from metabonk.system.files import read_tail
from metabonk.system.fork_server import ForkedChild, ForkServer
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
    """

    name: str
    command: Callable[[], Sequence[str]]
    log: Path
    vital: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    forked: bool = False


class ChildState(StrEnum):
    """State of a child process."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"


class Supervisor:
    """Keeps children running until ``stop``.

    Args:
        specs: in order of start.
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
        self.killed = False

    def tick(self) -> list[ExitReport]:
        """Handle exits, and start at most one process that is due.

        Returns:
            The exits since the last call.

        Raises:
            SettingsError: a vital child can't use a setting or a game; carries the child's message.
        """
        exits = [report for child in self._children if (report := self._handle_exit(child))]
        if exits:
            self._notify()
        now = self._clock()
        if now >= self._next_start:
            due = next((child for child in self._children if child.is_due(now)), None)
            if due is not None and self._can_start(due.spec):
                self._start(due, now)
                self._next_start = now + self._stagger_s
                self._notify()
        return exits

    def stop_hung(self, name: str, reason: str) -> None:
        """Stop a child that hangs; to be called again until ``tick`` returns its exit.

        Args:
            name: of the child.
            reason: continues "omega-0 was stopped because …".
        """
        child = next(child for child in self._children if child.spec.name == name)
        if child.leader is None:
            return
        now = self._clock()
        if child.stopped_because is None:
            log.error(
                "%s is being stopped because %s; its stack goes to %s", name, reason, child.spec.log
            )
            child.stopped_because, child.aborted_at = reason, now
            send(child.leader, signal.SIGABRT)
        elif now - child.aborted_at >= ABORT_GRACE_S:
            send(child.leader, signal.SIGKILL)

    def stop(self, grace_s: float = 3.0) -> None:
        """End every child and whatever it started: SIGTERM, then SIGKILL after ``grace_s``."""
        if self._fork_server is not None:
            self._fork_server.close()
        running = [child for child in self._children if child.process is not None]
        for child in running:
            assert child.leader is not None
            # Only the child itself: it ends its game, and a game that ends first looks broken.
            send(child.leader, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            running = [child for child in running if not self._reap(child)]
            if not running:
                break
            time.sleep(POLL_S)
        for child in running:
            log.warning("%s did not end within %.0f s and was killed", child.spec.name, grace_s)
            self.killed = True
            _kill_session(child)
            while not self._reap(child):
                time.sleep(POLL_S)
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
        """Report dead children: why they died, and when they restart."""
        now = self._clock()
        return [child.problem(now) for child in self._children if child.is_ailing(now)]

    def _can_start(self, spec: ChildSpec) -> bool:
        return not spec.forked or self._fork_server is None or self._fork_server.poll()

    def _fork(
        self, spec: ChildSpec, command: Sequence[str], output: BinaryIO
    ) -> ForkedChild | None:
        if not spec.forked or self._fork_server is None:
            return None
        return self._fork_server.start_child(command, spec.environment, output.fileno())

    def _start(self, child: "_Child", now: float) -> None:
        spec = child.spec
        child.last_start, child.starts = now, child.starts + 1
        try:
            spec.log.parent.mkdir(parents=True, exist_ok=True)
            with spec.log.open("ab") as output:
                child.log_start = output.tell()
                command = spec.command()
                child.process = self._fork(spec, command, output) or subprocess.Popen(
                    command,
                    env=environment_with(spec.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            child.last_exit = ExitReport(spec.name, 1, f"it can't be started: {error}")
            self._schedule_restart(child, now)
            return
        child.leader = process_id(child.process.pid)
        log.info("%s started (pid %d)", spec.name, child.process.pid)

    def _handle_exit(self, child: "_Child") -> ExitReport | None:
        if not self._reap(child):
            return None
        report, now = child.last_exit, self._clock()
        assert report is not None
        log.error("%s", report.message)
        self.killed = self.killed or report.code != 0
        if report.code == EXIT_CONFIG and child.spec.vital and not child.was_healthy:
            raise SettingsError(report.error or report.message)
        self._schedule_restart(child, now)
        return report

    def _reap(self, child: "_Child") -> bool:
        """Reap the child if it has ended, after killing what is left of its session."""
        if child.process is None:
            return False
        # Not poll(): until the child is reaped no other process can get its id.
        ended = os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return False
        _kill_session(child)
        child.last_exit = ExitReport(
            child.spec.name,
            child.process.wait(),
            fatal_message(read_tail(child.spec.log, TAIL_BYTES, child.log_start)),
            child.process.pid,
            child.stopped_because,
        )
        child.process = child.leader = child.stopped_because = None
        return True

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
        self.process: subprocess.Popen[bytes] | ForkedChild | None = None
        self.leader: ProcessId | None = None
        self.log_start = 0
        self.last_start = 0.0
        self.restart_at = float("-inf")
        self.starts = 0
        self.failures = 0
        self.stopped_because: str | None = None
        self.aborted_at = 0.0
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


def _kill_session(child: _Child) -> None:
    """Kill the child and all it started, processes that moved to another group included."""
    assert child.process is not None
    pid = child.process.pid
    # The child is unreaped, so the group's id is still its own.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    session = child.leader or ProcessId(pid=pid, started=0)
    for member in members(session):
        send(member, signal.SIGKILL)
