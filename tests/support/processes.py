"""Ends what a test started, whatever of it has ended by itself meanwhile."""

import contextlib
import subprocess
from collections.abc import Iterable

import psutil


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kills those that still run: a child may end with its parent, before its turn comes."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def kill_tree(process: subprocess.Popen[str]) -> None:
    """Kills a process and everything below it, and waits for its end."""
    if process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(process.pid)
            kill([root, *root.children(recursive=True)])
        process.wait(10)
