"""Clocks of programs that know nothing of MetaBonk: they run while they are let run."""

import os
import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path

from metabonk.system import shared_memory

MAX_LATE_S = 0.1
"""Longest time that a program ran too long and that is taken from its next runs."""


def shared_files(pid: int) -> list[Path]:
    """Return what libfaketime leaves in shared memory of a process that was killed."""
    names = f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"
    return [file for name in names if (file := shared_memory.PATH / name).exists()]


class Clock(ABC):
    """Time of a program."""

    @abstractmethod
    def run(self, seconds: float) -> None:
        """Let the program run for some seconds of its own time."""


class RealClock(Clock):
    """The program runs on while the policy decides; a run ends that much sooner."""

    def __init__(self) -> None:
        self._due = time.monotonic()

    def run(self, seconds: float) -> None:
        """Wait until so much time has passed since the end of the last run."""
        now = time.monotonic()
        self._due = max(self._due + seconds, now - MAX_LATE_S)
        time.sleep(max(0.0, self._due - now))


class FrozenClock(Clock):
    """The program is stopped while the policy decides, and its clock with it.

    SIGSTOP stops its process group. The time for which it was stopped is taken out of its clock by
    libfaketime, which reads an offset from a file (faketime(1), ``FAKETIME_TIMESTAMP_FILE``).

    Args:
        library: libfaketime.
        folder: for the file.

    Attributes:
        environment: variables for the program.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        self._file = folder / "clock.txt"
        self._stopped_s = self._late_s = 0.0
        self._stopped_at: float | None = None
        self._group = 0
        self._write()
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
        }

    def attach(self, group: int) -> None:
        """Take a process group that runs."""
        self._group = group

    def run(self, seconds: float) -> None:
        """Let it run for some seconds, less those that it ran too long before."""
        wanted = seconds - self._late_s
        self.thaw()
        began = time.monotonic()
        time.sleep(max(0.0, wanted))
        self.freeze()
        assert self._stopped_at is not None, "it has just stopped"
        self._late_s = min(MAX_LATE_S, self._stopped_at - began - wanted)

    def freeze(self) -> None:
        """Stop it."""
        if self._stopped_at is None:
            os.killpg(self._group, signal.SIGSTOP)
            self._stopped_at = time.monotonic()

    def thaw(self) -> None:
        """Let it run, as if no time had passed."""
        if self._stopped_at is not None:
            self._stopped_s += time.monotonic() - self._stopped_at
            self._stopped_at = None
            self._write()
            os.killpg(self._group, signal.SIGCONT)

    def _write(self) -> None:
        self._file.write_text(f"-{self._stopped_s:.6f}\n", encoding="ascii")
