"""Small real programs for tests of code that starts and ends processes."""

import sys
from pathlib import Path

import psutil

from metabonk.orchestrator.processes.supervisor import ChildSpec
from tests.support.waiting import GENEROUS_S

# Ends at SIGTERM, with exit code 0.
OBEDIENT = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
while True: signal.pause()
"""

# Ignores SIGTERM, as does a child of its own in another process group: a game engine may.
STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
loop = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
for own_group in (False, True):
    subprocess.Popen([sys.executable, "-c", loop], process_group=0 if own_group else None)
print("ready", flush=True)
while True: signal.pause()
"""

# Dies and leaves a child of its own behind, which has the same arguments.
CARELESS = """
import subprocess, sys, os, signal
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *sys.argv[1:]])
print("out of cheese", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def spec(folder: Path, name: str, program: str, *arguments: str) -> ChildSpec:
    """Return a child that runs ``program``; ``folder`` in its command line marks its family."""
    command = (sys.executable, "-c", program, str(folder), *arguments)
    return ChildSpec(name, lambda: command, folder / "logs" / f"{name}.log")


def text(child: ChildSpec) -> str:
    """Return the child's output so far."""
    return child.log.read_text() if child.log.exists() else ""


_earlier: set[psutil.Process] = set()


def disregard_earlier_descendants() -> None:
    """Leave what runs now out of ``descendants``, such as a server that other tests share."""
    _earlier.clear()
    _earlier.update(psutil.Process().children(recursive=True))


def descendants() -> list[psutil.Process]:
    """Return every process started by this one, directly or not, without zombies."""
    found = psutil.Process().children(recursive=True)
    return [process for process in found if process not in _earlier and _runs(process)]


def all_gone(processes: list[psutil.Process]) -> bool:
    """Tell whether all of them end soon; zombies count as ended."""
    _, alive = psutil.wait_procs(processes, timeout=GENEROUS_S)
    return not any(map(_runs, alive))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
