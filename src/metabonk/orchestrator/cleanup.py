"""Cleanup after killed games, in a child process: the orchestrator imports no game."""

import logging
import subprocess
from collections.abc import Sequence

log = logging.getLogger(__name__)


class GameCleanup:
    """Runs ``metabonk cleanup-games``, one process at a time.

    Args:
        command: that cleans up.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[str] | None = None
        self._requested = False

    def request(self) -> None:
        """Request a cleanup that begins after this call; returns at once."""
        if self._process is None:
            self._start()
        else:
            self._requested = True

    def tick(self) -> None:
        """Handle the end of a cleanup, and start the next if one was requested meanwhile."""
        if self._process is None or self._process.poll() is None:
            return
        self._log_output(self._process)
        self._process = None
        if self._requested:
            self._requested = False
            self._start()

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
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except OSError as error:
            log.warning("cleanup of dead game engines can't be started: %s", error)

    def _log_output(self, process: subprocess.Popen[str]) -> None:
        # A few lines, which fit into the pipe: it is read once the process has ended.
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                log.info("cleanup: %s", line.rstrip())
