"""A wall clock that a test shifts in every process of a fleet.

The machine's clock is left alone: ``time.time()`` adds the offset in a file. (libfaketime does the
same below Python, and breaks ``time.sleep``.)
"""

import os
from pathlib import Path

# A sitecustomize module, which Python runs at the start of every process.
SITE_CUSTOMIZE = """
import time
true_ns = time.time_ns
def time_ns():
    with open({file!r}) as offset:
        return true_ns() + int(offset.read()) * 10**9
time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9
"""


class ShiftedClock:
    """The clock of processes that are started with its environment.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "clock-offset"
        self.shift(0)
        (folder / "sitecustomize.py").write_text(SITE_CUSTOMIZE.format(file=str(self._file)))

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which a process uses this clock."""
        paths = os.pathsep.join([str(self._folder), os.environ.get("PYTHONPATH", "")])
        return {"PYTHONPATH": paths}

    def shift(self, ahead_s: int) -> None:
        """Set the clock's offset from the machine's, seconds."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead_s}\n")
        new.replace(self._file)
