"""Clocks of programs that know nothing of MetaBonk: they run while they are let run."""

import os
import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path

from metabonk.system import shared_memory

MAX_LATE_S = 0.1
"""Longest time that a program in real time ran too long and that is taken from its next runs."""

PART_S = 1 / 240
"""Time by which a held clock moves on at once."""

SETTLE_S = 0.1
LOOK_S = 0.001
ASLEEP_LOOKS = 3
"""Longest wait for a program to do what is due, and the looks in a row that find it asleep."""

SLEEPING = ("S", "Z", "X")


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
    """The program is stopped while the policy decides, and its clock moves in runs only.

    Its clock stands at the time in a file, which libfaketime reads (faketime(1),
    ``FAKETIME_TIMESTAMP_FILE``). A run moves that time on in small parts, at the pace of real time,
    waits until the program has done what is due, and stops its process group (SIGSTOP). So a run
    takes its exact time by the program's clock, however late this process is.

    Args:
        library: libfaketime.
        folder: for the file.

    Attributes:
        environment: variables for the program.
    """

    def __init__(self, library: Path, folder: Path) -> None:
        self._file = folder / "clock.txt"
        # Games seed their random numbers by the time of their start.
        self._now_s = time.time()
        self._is_stopped = False
        self._group = 0
        self._write()
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_FMT": "%s",
            "FAKETIME_NO_CACHE": "1",
        }

    def attach(self, group: int) -> None:
        """Take a process group that runs."""
        self._group = group

    def run(self, seconds: float) -> None:
        """Let it run for some seconds of its clock."""
        parts = max(1, round(seconds / PART_S))
        start_s, due = self._now_s, time.monotonic()
        self._thaw()
        for part in range(1, parts + 1):
            self._now_s = start_s + seconds * part / parts
            self._write()
            due += seconds / parts
            time.sleep(max(0.0, due - time.monotonic()))
        self._settle()
        self._freeze()

    def _settle(self) -> None:
        """Wait until the program sleeps: it has seen the time, and waits for a later one."""
        end = time.monotonic() + SETTLE_S
        asleep = 0
        while asleep < ASLEEP_LOOKS and time.monotonic() < end:
            time.sleep(LOOK_S)
            asleep = asleep + 1 if is_asleep(self._group) else 0

    def _freeze(self) -> None:
        if not self._is_stopped:
            os.killpg(self._group, signal.SIGSTOP)
            self._is_stopped = True

    def _thaw(self) -> None:
        if self._is_stopped:
            self._is_stopped = False
            os.killpg(self._group, signal.SIGCONT)

    def _write(self) -> None:
        # At once: the program may be reading it.
        written = self._file.with_suffix(".new")
        written.write_text(f"{self._now_s:.6f}\n", encoding="ascii")
        written.replace(self._file)


def is_asleep(pid: int) -> bool:
    """Tell whether the first thread of a process waits for something, or has ended (proc(5))."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return line.rpartition(") ")[2][:1] in SLEEPING
