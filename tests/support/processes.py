"""Find and kill what a test started, even if parts of it exit meanwhile."""

import contextlib
import subprocess
from collections.abc import Iterable

import psutil


def command_lines(processes: Iterable[psutil.Process]) -> dict[psutil.Process, list[str]]:
    """Return the command line of each process, but for those that have just exited."""
    found = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found[process] = process.cmdline()
    return found


def with_word(processes: Iterable[psutil.Process], word: str) -> list[psutil.Process]:
    """Return the processes with this word in their command line; none that has just exited."""
    return [process for process, words in command_lines(processes).items() if word in words]


def named(processes: Iterable[psutil.Process], name: str) -> list[psutil.Process]:
    """Return the processes of a program; none that has just exited."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.name() == name:
                found.append(process)
    return found


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill the processes that still run; a child may exit with its parent before its turn."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def kill_tree(process: subprocess.Popen[str]) -> None:
    """Kill a process and its descendants, and wait for it."""
    if process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            # Stopped, so that it starts no further child meanwhile.
            root.suspend()
            kill([root, *root.children(recursive=True)])
        process.wait(60)
