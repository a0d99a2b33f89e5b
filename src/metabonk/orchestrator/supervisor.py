"""Child processes: started one after another, watched, started again, and ended without a trace.

Everything here runs in the thread that calls ``tick``, which must live as long as the process: the
kernel ends children with the *thread* that started them (PR_SET_PDEATHSIG).
"""

import contextlib
import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from metabonk.errors import ERROR_PREFIX, SettingsError
from metabonk.messages import Problem
from metabonk.settings.environment import environment_with
from metabonk.system.process_ids import ProcessId, members, process_id, send

log = logging.getLogger(__name__)


TAIL_BYTES = 16_384
LONGEST_LINE = 300


CRASHES = tuple(
    -number
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
)
"""Exit codes of a process that native code has brought down."""

FATAL = re.compile(
    r"^Fatal Python error: (?P<what>[^\n]+)$"
    r"(?:.*?^Current thread [^\n]*\n"
    r"  File \"(?P<file>[^\"\n]+)\", line (?P<line>\d+) in (?P<name>\w+))?",
    re.MULTILINE | re.DOTALL,
)
"""What Python's faulthandler writes when native code crashes."""


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a child process ended.

    Attributes:
        name: of the child.
        code: as ``subprocess`` has it, negative for a signal.
        last_words: what it said at the end.
        pid: it had.
        cause: why its keeper ended it; None where it ended by itself.
    """

    name: str
    code: int
    last_words: str
    pid: int = 0
    cause: str | None = None

    @property
    def crashed(self) -> bool:
        """Whether native code has brought it down, or it hung and was ended."""
        return self.code in CRASHES or self.cause is not None

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if self.cause is not None:
            return f"{self.name} was ended, since {self.cause}"
        said = f": {self.last_words}" if self.last_words else ""
        return f"{self.name} {_manner(self.code)}{said}"


def words_in(log: Path, start: int) -> str:
    """The last words of a child whose output of this life begins at byte ``start`` of ``log``."""
    return last_words(_tail(log, start))


def last_words(output: str) -> str:
    """The sentence a process of MetaBonk's ended with, or where it crashed, else its last line."""
    start = output.rfind(f"\n{ERROR_PREFIX}")
    if start >= 0 or output.startswith(ERROR_PREFIX):
        return output[start + 1 + len(ERROR_PREFIX) if start >= 0 else len(ERROR_PREFIX) :].strip()
    if crash := FATAL.search(output):
        where = f" in {crash['file']}:{crash['line']} ({crash['name']})" if crash["file"] else ""
        return f"{crash['what']}{where}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:LONGEST_LINE] if lines else ""


def _manner(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    if -code == signal.SIGKILL:
        return "was killed by SIGKILL (by somebody, or by the kernel for want of memory)"
    names = {number.value: number.name for number in signal.Signals}
    return f"was ended by {names.get(-code, f'signal {-code}')}"


def _tail(log: Path, start: int) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


HEALTHY_AFTER_S = 60.0
"""Who ran this long did not die of the way it was started: its back-off begins anew."""

SHOWN_S = 10.0
"""A death is shown until its successor has lived this long, so that it can be read."""

FIRST_PAUSE_S = 0.5
ABORT_GRACE_S = 2.0
"""For a child that hangs to write where; then it is killed."""

POLL_S = 0.02
EXIT_CONFIG = 2
"""Exit code of a setting or a game that can't be used: another try would end the same way."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A process to be kept running."""

    name: str
    command: tuple[str, ...]
    log: Path
    """Its standard output and error are appended to this file."""
    vital: bool = True
    """Whether the fleet is nothing without it, so that its finding a setting unusable ends it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its environment says otherwise than this process's."""


class ChildState(StrEnum):
    """What a child process is doing."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"


class Supervisor:
    """Keeps children running until ``stop``.

    Args:
        specs: in the order of their start.
        stagger_s: seconds between two starts.
        restart_backoff_max_s: longest pause before a restart, seconds.
        on_change: told of every start and death, with name → leader of the session.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        stagger_s: float,
        restart_backoff_max_s: float,
        on_change: Callable[[Mapping[str, ProcessId]], None] = lambda running: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = [_Child(spec) for spec in specs]
        self._stagger_s = stagger_s
        self._restart_limit_s = restart_backoff_max_s
        self._on_change = on_change
        self._clock = clock
        self._next_start = clock()
        self.killed = False
        """Whether any child ended without tidying up after itself."""

    def tick(self) -> list[ExitReport]:
        """Notices who has died, and starts at most one process that is due.

        Returns:
            the deaths since the last call.

        Raises:
            SettingsError: a child found a setting or a game that can't be used, at its first start;
                carries its own sentence.
        """
        deaths = [death for child in self._children if (death := self._reap(child))]
        if deaths:
            self._tell()
        now = self._clock()
        if now >= self._next_start:
            due = next((child for child in self._children if child.is_due(now)), None)
            if due is not None:
                self._start(due, now)
                self._next_start = now + self._stagger_s
                self._tell()
        return deaths

    def end(self, name: str, cause: str) -> None:
        """Ends a child that hangs; repeated until it is gone, as ``tick`` will tell.

        Args:
            name: of the child.
            cause: for its obituary, as in "omega-0 was ended, since …".
        """
        child = next(child for child in self._children if child.spec.name == name)
        if child.leader is None:
            return
        now = self._clock()
        if child.ended_for is None:
            log.error("%s is ended, since %s; where it hangs is in %s", name, cause, child.spec.log)
            child.ended_for, child.ended_at = cause, now
            send(child.leader, signal.SIGABRT)
        elif now - child.ended_at >= ABORT_GRACE_S:
            send(child.leader, signal.SIGKILL)

    def stop(self, grace_s: float = 3.0) -> None:
        """Ends every child and whatever it started: SIGTERM, a wait, SIGKILL."""
        running = [child for child in self._children if child.process is not None]
        for child in running:
            assert child.leader is not None
            # Only the child itself: it ends its game, and a game that has gone first looks broken.
            send(child.leader, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            running = [child for child in running if not self._bury(child)]
            if not running:
                break
            time.sleep(POLL_S)
        for child in running:
            log.warning("%s did not end within %.0f s and was killed", child.spec.name, grace_s)
            self.killed = True
            _kill_session(child)
            while not self._bury(child):
                time.sleep(POLL_S)
        for child in self._children:
            child.stopped = True
        self._tell()

    def states(self) -> dict[str, ChildState]:
        """Name → what that child is doing."""
        return {child.spec.name: child.state for child in self._children}

    def restarts(self) -> dict[str, int]:
        """Name → how often that child was started again."""
        return {child.spec.name: max(0, child.starts - 1) for child in self._children}

    def problems(self) -> list[Problem]:
        """What a person should know: who is dead, why, and when it is tried again."""
        now = self._clock()
        return [child.problem(now) for child in self._children if child.is_ailing(now)]

    def _start(self, child: "_Child", now: float) -> None:
        child.last_start, child.starts = now, child.starts + 1
        try:
            child.spec.log.parent.mkdir(parents=True, exist_ok=True)
            with child.spec.log.open("ab") as output:
                child.log_start = output.tell()
                child.process = subprocess.Popen(
                    child.spec.command,
                    env=environment_with(child.spec.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            child.death = ExitReport(child.spec.name, 1, f"it can't be started: {error}")
            self._plan_restart(child, now)
            return
        child.leader = process_id(child.process.pid)
        log.info("started %s (pid %d)", child.spec.name, child.process.pid)

    def _reap(self, child: "_Child") -> ExitReport | None:
        if not self._bury(child):
            return None
        death, now = child.death, self._clock()
        assert death is not None
        log.error("%s", death.sentence)
        self.killed = self.killed or death.code != 0
        if death.code == EXIT_CONFIG and child.spec.vital and not child.was_healthy:
            raise SettingsError(death.last_words or death.sentence)
        self._plan_restart(child, now)
        return death

    def _plan_restart(self, child: "_Child", now: float) -> None:
        if now - child.last_start >= HEALTHY_AFTER_S:
            child.was_healthy, child.failures = True, 0
        pause = back_off(child.failures, self._restart_limit_s)
        child.failures += 1
        child.restart_at = now + pause
        log.info("%s is started again in %.1f s", child.spec.name, pause)

    def _bury(self, child: "_Child") -> bool:
        """Whether the child has ended; what is left of its session is killed, then it is reaped."""
        if child.process is None:
            return False
        # Not poll(): until it is reaped its id can't be given to anybody else.
        ended = os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return False
        _kill_session(child)
        child.death = ExitReport(
            child.spec.name,
            child.process.wait(),
            words_in(child.spec.log, child.log_start),
            child.process.pid,
            child.ended_for,
        )
        child.process = child.leader = child.ended_for = None
        return True

    def _tell(self) -> None:
        self._on_change(
            {child.spec.name: child.leader for child in self._children if child.leader is not None}
        )


def back_off(failures: int, limit_s: float) -> float:
    """Seconds before the next start after so many quick failures in a row: doubled each time."""
    return min(limit_s, FIRST_PAUSE_S * 2.0 ** min(failures, 20))


class _Child:
    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.leader: ProcessId | None = None
        self.log_start = 0
        self.last_start = 0.0
        self.restart_at = float("-inf")
        self.starts = 0
        self.failures = 0
        self.ended_for: str | None = None
        self.ended_at = 0.0
        self.was_healthy = False
        self.stopped = False
        self.death: ExitReport | None = None

    @property
    def state(self) -> ChildState:
        if self.stopped:
            return ChildState.STOPPED
        return ChildState.WAITING if self.process is None else ChildState.RUNNING

    def is_due(self, now: float) -> bool:
        return self.process is None and not self.stopped and now >= self.restart_at

    def is_ailing(self, now: float) -> bool:
        if self.death is None or self.stopped:
            return False
        return self.process is None or now - self.last_start < SHOWN_S

    def problem(self, now: float) -> Problem:
        assert self.death is not None
        if self.process is None:
            done = f"it is started again in {max(0.0, self.restart_at - now):.0f} s"
        else:
            done = "it was started again"
        return Problem(message=self.death.sentence, action=f"{done}; {self.spec.log} says more")


def _kill_session(child: _Child) -> None:
    """Kills the child and all it started, also what moved to another process group."""
    assert child.process is not None
    pid = child.process.pid
    # The child is unreaped, so the group's id is still its own.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    session = child.leader or ProcessId(pid=pid, started=0)
    for member in members(session):
        send(member, signal.SIGKILL)
