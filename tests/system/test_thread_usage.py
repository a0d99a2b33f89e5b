"""Usage of threads, with real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from metabonk.system.process_ids import ProcessId, process_id
from metabonk.system.thread_usage import session_usage
from tests.support.waiting import until


@pytest.fixture
def session() -> Iterator[tuple[ProcessId, subprocess.Popen[bytes]]]:
    program = """
import os, subprocess, sys, threading
os.nice(3)
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
threading.Event().wait()
"""
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    leader = process_id(process.pid)
    assert leader is not None
    yield leader, process
    for thread in session_usage(leader):
        if process_id(thread) is not None:
            subprocess.run(["kill", "-9", str(thread)], check=False)
    process.wait()


def test_the_threads_of_all_processes_of_a_session_are_measured(
    session: tuple[ProcessId, subprocess.Popen[bytes]],
):
    leader, process = session
    until("its child runs", lambda: len(session_usage(leader)) == 2)
    began, before = time.monotonic(), session_usage(leader)
    (child,) = before.keys() - {process.pid}

    def busy_s() -> float:
        after = session_usage(leader)[child]
        waited_s = (after.waited_s or 0.0) - (before[child].waited_s or 0.0)
        return after.ran_s - before[child].ran_s + waited_s

    until("it has computed or waited for a processor", lambda: busy_s() > 0.2)
    assert busy_s() <= (time.monotonic() - began) * 1.1 + 0.1
    assert before[process.pid].nice == min(os.nice(0) + 3, 19)
    until("it idles", lambda: session_usage(leader)[process.pid].state == "S")
    assert session_usage(leader)[process.pid].ran_s - before[process.pid].ran_s < 0.1


def test_a_session_that_has_ended_has_no_threads():
    assert session_usage(ProcessId(pid=2**22 - 1, started=1)) == {}
