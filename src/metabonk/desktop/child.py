"""Starting a program that ends with this process, whatever ends that."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from metabonk.errors import GameError
from metabonk.printable import printable
from metabonk.system.files import read_tail
from metabonk.system.process import BACKGROUND_NICE
from metabonk.system.process_ids import ProcessId, members, process_id, send

FOLDER = "METABONK_GAME_FOLDER"
"""Environment variable by which a game's processes are found, whatever they have become."""

MAX_OUTPUT = 1 << 20
"""Bytes of what a program has printed beyond which it is thrown away."""

QUOTED_BYTES = 2000
END_S = 5.0

EXIT_S = 0.5
"""Time for a program that has closed its files to end."""


class Child:
    """A program in a POSIX session of its own.

    It must be started by a thread that lives as long as the program may: the kernel kills it when
    that thread ends.

    Args:
        command: the program and its arguments.
        environment: all of it.
        folder: that it starts in.
        output: file that receives what it prints.
        descriptors: that it inherits.
        background: run below the priority of live streams.

    Raises:
        GameError: it can't be started.

    Attributes:
        pid: of the program.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        descriptors: Collection[int] = (),
        background: bool = False,
    ) -> None:
        self._output = output
        nice = ("nice", "-n", str(BACKGROUND_NICE)) if background else ()
        # Appended to, so that it can be emptied while the program writes.
        with output.open("ab") as printed:
            try:
                self._process = subprocess.Popen(
                    (*nice, "setpriv", "--no-new-privs", "--pdeathsig", "KILL", *command),
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    env={**environment, FOLDER: str(output.parent)},
                    cwd=folder,
                    pass_fds=tuple(descriptors),
                    start_new_session=True,
                )
            except OSError as error:
                raise GameError(f"can't start {command[0]}: {error.strerror}") from None
        self.pid = self._process.pid
        self._session = process_id(self.pid)

    def has_ended(self) -> bool:
        """Tell whether the program has ended."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Return how the program ended, and its last line, or the last that tells of an error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_S)
        code = self._process.poll()
        ended = "it did not end" if code is None else f"it ended with {_cause(code)}"
        lines = read_tail(self._output, QUOTED_BYTES).strip().splitlines()
        told = [line for line in lines if "error" in line.lower()] or lines
        return f"{ended}, and says: {printable(told[-1])}" if told else f"{ended} without a word"

    def trim_output(self) -> None:
        """Throw away what it has printed, if that is much."""
        if self._output.stat().st_size > MAX_OUTPUT:
            os.truncate(self._output, 0)

    def session(self) -> list[ProcessId]:
        """Return all processes of its session."""
        return [] if self._session is None else members(self._session)

    def close(self) -> None:
        """Kill the program and whatever it started; may be called twice."""
        for process in self.session():
            send(process, signal.SIGKILL)
        self._process.kill()
        self._process.wait(END_S)


def _cause(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
