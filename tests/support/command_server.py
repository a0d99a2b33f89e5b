"""Commands forked from a process that has imported them.

To start Python and import costs a command up to a second of CPU, and the tests of the command line
run hundreds. ``python -m tests.support.command_server PARENT`` forks them as a fleet's fork server
does; what the processes do is the same from there on.
"""

import gc
import importlib
import os
import runpy
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from metabonk.system.fork_server import ForkServer, serve
from metabonk.system.process import die_with_parent
from tests.support.waiting import until

MODULES = tuple(
    f"metabonk.cli.{name}"
    for name in ("cleanup", "cleanup_games", "nvenc", "runs", "start", "stop")
)
FOLDER, ERRORS = "TESTS_COMMAND_FOLDER", "TESTS_COMMAND_ERRORS"
"""Variables that name a command's working directory and the file of its standard error."""

UNMEASURED = {"COVERAGE_PROCESS_CONFIG": ""}
"""Coverage is measured in a command, not in what it starts: that has tests of its own, and the
start of a measurement takes longer than that of a stand-in."""


class Command(psutil.Process):
    """A forked command, with the part of ``Popen`` that tests use."""

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        try:
            return self.wait(0)
        except psutil.TimeoutExpired:
            return None


class CommandServer:
    """The end that tests use.

    Args:
        folder: of its log.
    """

    def __init__(self, folder: Path) -> None:
        command = (sys.executable, "-m", "tests.support.command_server", str(os.getpid()))
        self._server = ForkServer(command, folder / "server.log")

    def start(
        self,
        module: str,
        *arguments: str,
        folder: Path,
        environment: Mapping[str, str],
        output: Path,
        errors: Path | None = None,
    ) -> Command:
        """Start ``python -m <module> <arguments>``.

        Args:
            module: to run.
            arguments: its own.
            folder: working directory.
            environment: in addition to that of the tests without MetaBonk's variables.
            output: file for its standard output.
            errors: file for its standard error; by default that of its output.
        """
        until("the server has imported the commands", self._server.poll, 60)
        given = {**environment, FOLDER: str(folder), ERRORS: str(errors or ""), **UNMEASURED}
        with output.open("wb") as file:
            child = self._server.start_child(
                (sys.executable, "-m", module, *arguments), given, file.fileno()
            )
        assert child is not None, "the server of commands has ended"
        return Command(child.pid)

    def close(self) -> None:
        """End the server; its commands live on."""
        self._server.close()


def main(parent: str) -> None:
    """Serve until the parent ends; in each forked child, run its module."""
    die_with_parent(int(parent))
    for name in [name for name in os.environ if name.startswith("METABONK_")]:
        del os.environ[name]
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    command = serve(socket.socket(fileno=sys.stdin.fileno()))
    if command is None:
        return
    # Under nohup, SIGHUP would be ignored, and a fleet respects that.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(os.environ.pop(FOLDER))
    if errors := os.environ.pop(ERRORS):
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    _, _, module, *arguments = command
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
