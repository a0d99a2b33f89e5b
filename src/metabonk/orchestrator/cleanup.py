"""Removes what killed games left, in a process of its own: no game is imported here."""

import logging
import subprocess
from collections.abc import Sequence

log = logging.getLogger(__name__)


class GameCleanup:
    """Runs ``metabonk sweep``, one at a time.

    Args:
        command: that sweeps.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[str] | None = None
        self._again = False

    def sweep(self) -> None:
        """Asks for a sweep that begins after this call; returns at once."""
        if self._process is None:
            self._start()
        else:
            self._again = True

    def tick(self) -> None:
        """Notices the end of a sweep, and starts the next if one was asked for meanwhile."""
        if self._process is None or self._process.poll() is None:
            return
        self._report(self._process)
        self._process = None
        if self._again:
            self._again = False
            self._start()

    def close(self, timeout: float) -> None:
        """Waits for a sweep that runs, then gives it up: the next start sweeps again."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout)
            self._report(self._process)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            log.warning("what killed games left was not swept in time; the next start does it")
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
            log.warning("what killed games left can't be swept: %s", error)

    def _report(self, process: subprocess.Popen[str]) -> None:
        # A few lines, which fit into the pipe: it is read when the process has ended.
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                log.info("sweep: %s", line.rstrip())
