"""Kill what a test started, even if parts of it have exited meanwhile."""

import contextlib
import subprocess
from collections.abc import Iterable

import psutil


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
