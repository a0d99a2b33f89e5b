"""Small real programs for the tests of whoever starts and ends processes."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from metabonk.orchestrator.supervisor import ChildSpec

# Ends at SIGTERM, with exit code 0.
OBEDIENT = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
while True: signal.pause()
"""

# Ignores SIGTERM and has a child in a group of its own that does so too, as a game engine might.
STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
loop = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
for own_group in (False, True):
    subprocess.Popen([sys.executable, "-c", loop], process_group=0 if own_group else None)
print("ready", flush=True)
while True: signal.pause()
"""

# Leaves a child of its own behind and dies.
CARELESS = """
import subprocess, sys, os, signal
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("out of cheese", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def spec(folder: Path, name: str, program: str, *arguments: str) -> ChildSpec:
    """A child that runs ``program``, with a mark in its command line to find its family by."""
    command = (sys.executable, "-c", program, str(folder), *arguments)
    return ChildSpec(name, command, folder / "logs" / f"{name}.log")


def text(child: ChildSpec) -> str:
    return child.log.read_text() if child.log.exists() else ""


def until(
    probe: Callable[[], object],
    timeout: float = 10.0,
    said: Callable[[], str] = lambda: "",
) -> None:
    deadline = time.monotonic() + timeout
    while not probe():
        assert time.monotonic() < deadline, f"it did not happen in time; {said()}"
        time.sleep(0.01)


def descendants() -> list[psutil.Process]:
    """Every process this one has started, directly or not, that is no zombie."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE
    ]


def all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=2)
    return not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
