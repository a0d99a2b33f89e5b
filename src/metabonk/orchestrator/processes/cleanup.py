"""Cleanup after killed games, in a child process: the orchestrator imports no game."""

import logging
import subprocess
import time
from collections.abc import Callable, Sequence

from metabonk.messages.base import Problem
from metabonk.orchestrator.processes.faults import Faults

log = logging.getLogger(__name__)

HUNG_AFTER_S = 60.0
"""A cleanup takes a second or two."""

RETRY_S = 1.0


class GameCleanup:
    """Runs ``metabonk cleanup-games``, one process at a time.

    Args:
        command: that cleans up.
        clock: monotonic seconds.
    """

    def __init__(self, command: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._command = tuple(command)
        self._clock = clock
        self._process: subprocess.Popen[str] | None = None
        self._started_at = self._retry_at = float("-inf")
        self._requested = False
        self._faults = Faults()

    def request(self) -> None:
        """Request a cleanup that begins after this call; returns at once."""
        self._requested = True
        if self._process is None:
            self._start()

    def tick(self) -> None:
        """Handle the end of a cleanup, and start the next if one is requested."""
        now = self._clock()
        if self._process is not None:
            if self._process.poll() is None:
                if now - self._started_at >= HUNG_AFTER_S:
                    self._process.kill()
                return
            self._log_output(self._process)
            self._process = None
        if self._requested and now >= self._retry_at:
            self._start()

    def problems(self) -> list[Problem]:
        """Report that a cleanup can't be started."""
        return self._faults.problems()

    def close(self, timeout_s: float) -> None:
        """Wait for a cleanup in progress, and kill it after ``timeout_s`` seconds."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
            self._log_output(self._process)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            log.warning("cleanup of dead game engines timed out; the next start retries it")
        self._process = None

    def _start(self) -> None:
        self._started_at = now = self._clock()
        self._retry_at = now + RETRY_S
        with self._faults.survive("the cleanup of dead game engines"):
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
            self._requested, self._retry_at = False, now

    def _log_output(self, process: subprocess.Popen[str]) -> None:
        # A few lines, which fit into the pipe: it is read once the process has ended.
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                log.info("cleanup: %s", line.rstrip())
