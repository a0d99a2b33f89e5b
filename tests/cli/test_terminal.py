"""The terminal of ``metabonk start``."""

import io
import os
import pty
import threading
import time
from collections.abc import Mapping

from metabonk.cli.terminal import Terminal
from metabonk.messages.fleet import Fleet
from metabonk.messages.workers import Mode
from metabonk.orchestrator.processes.supervisor import ChildState
from tests.support.waiting import until


def fleet(run: str) -> Fleet:
    return Fleet(run=run, game="doom:basic", mode=Mode.TRAIN, workers={}, learner=None, problems=[])


class Recorder:
    """Writes each state's run to the terminal, once it may."""

    def __init__(self, out: io.StringIO) -> None:
        self._out = out
        self.may_write = threading.Event()
        self.waits = threading.Event()

    def show(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        self.waits.set()
        self.may_write.wait(20)
        self._out.write(f"{fleet.run}\n")

    def close(self) -> None:
        self._out.write("restored\n")


def test_lines_and_states_are_written_in_order_and_the_display_ends_before_the_last_line():
    out = io.StringIO()
    display = Recorder(out)
    display.may_write.set()
    terminal = Terminal(out)
    terminal.print("note: first")
    terminal.open_display(lambda: display)
    terminal.show(fleet("run-1"), {})
    until("it is shown", lambda: "run-1" in out.getvalue())
    terminal.print("stopped")
    terminal.close(timeout_s=20)
    assert out.getvalue().splitlines() == ["note: first", "run-1", "restored", "stopped"]


def test_a_slow_terminal_gets_the_newest_state_only():
    out = io.StringIO()
    display = Recorder(out)
    terminal = Terminal(out)
    terminal.open_display(lambda: display)
    terminal.show(fleet("run-0"), {})
    assert display.waits.wait(20)
    for number in range(1, 100):
        terminal.show(fleet(f"run-{number}"), {})
    display.may_write.set()
    terminal.close(timeout_s=20)
    assert out.getvalue().splitlines() == ["run-0", "run-99", "restored"]


def test_nobody_waits_for_a_terminal_that_nobody_reads():
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as out:
        terminal = Terminal(out)
        terminal.open_display(lambda: Flood(out))
        began = time.monotonic()
        terminal.show(fleet("run-1"), {})
        until("the terminal is full", lambda: terminal._newest is None)
        terminal.show(fleet("run-2"), {})
        terminal.print("stopped")
        terminal.close(timeout_s=0.1)
        assert time.monotonic() - began < 20
        assert terminal._thread.is_alive(), "it must hang, or this test tests nothing"
        os.close(master)
        until("it ends with the terminal", lambda: not terminal._thread.is_alive())


class Flood:
    """Writes more than a terminal holds."""

    def __init__(self, out: io.TextIOBase) -> None:
        self._out = out

    def show(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        self._out.write("x" * 200_000)
        self._out.flush()

    def close(self) -> None:
        pass


def test_a_closed_terminal_does_not_stop_the_fleet():
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    terminal = Terminal(Closed())
    terminal.print("note")
    terminal.show(fleet("run-1"), {})
    terminal.close()
