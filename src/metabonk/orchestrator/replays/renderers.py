"""Processes that render replays, ``metabonk render``: one for each."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metabonk.orchestrator.processes.child_process import (
    ChildProcess,
    has_ended,
    kill_session,
    start_child,
)
from metabonk.orchestrator.processes.exit_report import ExitReport, fatal_message
from metabonk.system.files import read_tail
from metabonk.system.fork_server import ForkServer
from metabonk.system.process_ids import ProcessId, process_id

log = logging.getLogger(__name__)

NAME = "the renderer"
TAIL_BYTES = 16_384

KILL_TIMEOUT_S = 1.0
"""Time that the kernel may take to end a killed process."""

POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class _Renderer:
    process: ChildProcess
    leader: ProcessId | None
    log_start: int


class Renderers:
    """Renderers by the key of their replay; see ``child_process`` for the thread to call it in.

    Args:
        log_file: to which their output is appended.
        fork_server: forks them, so that they start with all imports done.
        on_killed: called after one has left a game that could not clean up after itself.
    """

    def __init__(
        self,
        log_file: Path,
        fork_server: ForkServer | None = None,
        on_killed: Callable[[], None] = lambda: None,
    ) -> None:
        self._log_file = log_file
        self._fork_server = fork_server
        self._on_killed = on_killed
        self._running: dict[str, _Renderer] = {}

    def can_start(self) -> bool:
        """Return whether one may be started now.

        Raises:
            OSError: the fork server can't be started.
        """
        return self._fork_server is None or self._fork_server.poll()

    def start(self, key: str, command: Sequence[str]) -> None:
        """Start one.

        Raises:
            OSError: it can't be started.
        """
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            log_start = output.tell()
            process = start_child(command, {}, output, self._fork_server)
        self._running[key] = _Renderer(process, process_id(process.pid), log_start)
        log.info("%s of replay %s started (pid %d)", NAME, key, process.pid)

    def kill(self, key: str) -> None:
        """Kill a renderer and its game, if it still runs; its end is reported as any other."""
        if (renderer := self._running.get(key)) is not None:
            kill_session(renderer.process, renderer.leader)

    def reap(self) -> dict[str, ExitReport]:
        """Return how those have ended that ran at the last call and no longer do, by key."""
        ended = {}
        for key, renderer in list(self._running.items()):
            if has_ended(renderer.process):
                ended[key] = self._reap(key, renderer)
        return ended

    def close(self) -> None:
        """Kill all of them."""
        for key in self._running:
            self.kill(key)
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while self._running and time.monotonic() < deadline:
            self.reap()
            time.sleep(POLL_S)
        for key in self._running:
            log.error("%s of replay %s waits for a disk and can't be killed", NAME, key)

    def _reap(self, key: str, renderer: _Renderer) -> ExitReport:
        # What it may have left of its session goes with it.
        kill_session(renderer.process, renderer.leader)
        code = renderer.process.wait()
        del self._running[key]
        error = fatal_message(read_tail(self._log_file, TAIL_BYTES, renderer.log_start))
        report = ExitReport(NAME, code, error, renderer.process.pid)
        log.info("%s of replay %s (pid %d) has ended", NAME, key, report.pid)
        if code < 0:
            self._on_killed()
        return report
