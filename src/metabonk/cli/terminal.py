"""The terminal of ``metabonk start``, written to by a thread of its own.

A terminal that nobody reads (Ctrl-S, a frozen connection, a full pipe) blocks whoever writes to it,
for as long as nobody reads. Supervision must not wait for that, and neither must the fleet's end.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

from rich.console import Console

from metabonk.messages.fleet import Fleet
from metabonk.orchestrator.processes.supervisor import ChildState
from metabonk.printable import printable
from metabonk.system.text_streams import SHOWABLE

CLOSE_S = 0.5
"""Longest wait for a terminal at the end, which a clean end of a fleet has time for."""


class Display(Protocol):
    """Shows the fleet; its methods may wait for the terminal, and raise OSError once it is gone."""

    def show(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        """Show the current state."""
        ...

    def close(self) -> None:
        """Restore the terminal."""
        ...


class Terminal:
    """Writes lines and the fleet's newest state, in order, on a daemon thread.

    No method waits for the terminal, except ``close`` for a moment. Of the states that a slow
    terminal can't show in time only the newest is shown.

    Args:
        out: belongs to the terminal alone: a write that blocks holds its locks.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.console = Console(file=out, soft_wrap=True, highlight=False, markup=False)
        self._make_display: Callable[[], Display] | None = None
        self._display: Display | None = None
        self._newest: tuple[Fleet, Mapping[str, ChildState]] | None = None
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
        self._thread.start()

    def print(self, line: str) -> None:
        """Write a line; below the display, which it ends, if there is one."""

        def write() -> None:
            self._end_display()
            self._out.write(f"{printable(line)}\n")
            self._out.flush()

        with self._changed:
            self._jobs.append(write)
            self._changed.notify()

    def open_display(self, make_display: Callable[[], Display]) -> None:
        """Show states with this display, which is made on the thread with the first of them."""
        self._make_display = make_display

    def show(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        """Show the current state instead of one that has not been shown yet."""
        with self._changed:
            if self._newest is None:
                self._jobs.append(self._show_newest)
                self._changed.notify()
            self._newest = fleet, processes

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Finish writing and restore the terminal, for at most ``timeout_s`` seconds."""
        with self._changed:
            self._jobs.append(self._end_display)
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                job()
            except OSError:
                # The fleet outlives its terminal, to be stopped cleanly.
                return

    def _next_job(self) -> Callable[[], None] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            return self._jobs.popleft() if self._jobs else None

    def _show_newest(self) -> None:
        with self._changed:
            newest, self._newest = self._newest, None
        if newest is None or self._make_display is None:
            return
        self._display = self._display or self._make_display()
        self._display.show(*newest)

    def _end_display(self) -> None:
        display, self._display = self._display, None
        if display is not None:
            display.close()


def open_terminal(stream: TextIO) -> Terminal:
    """Return the terminal behind ``stream``, with a buffer that nobody else flushes."""
    out = os.fdopen(
        os.dup(stream.fileno()),
        "w",
        encoding=stream.encoding,
        errors=SHOWABLE,
    )
    return Terminal(out)
