"""Stopping when told, and dying with the parent."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest


def run_python(program: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_at_once(number: signal.Signals):
    done = run_python(f"""
        import os, threading, time
        from metabonk.system.process import StopSignal
        stop = StopSignal()
        threading.Timer(0.1, os.kill, (os.getpid(), {int(number)})).start()
        began = time.monotonic()
        print(stop.wait(10), stop.is_set(), stop.wait(0), time.monotonic() - began < 5)
    """)
    assert done.stdout.split() == ["True"] * 4, done.stderr


def test_signals_in_a_storm_of_waits_never_block_it():
    done = run_python("""
        import os, signal, threading
        from metabonk.system.process import StopSignal
        stop = StopSignal()
        pid = os.getpid()
        def storm():
            for _ in range(2000):
                os.kill(pid, signal.SIGTERM)
        thread = threading.Thread(target=storm)
        thread.start()
        while thread.is_alive():
            stop.wait(0)
        print("done")
    """)
    assert done.stdout.strip() == "done", done.stderr


def test_without_a_signal_the_wait_times_out():
    done = run_python("""
        from metabonk.system.process import StopSignal
        stop = StopSignal()
        print(stop.wait(0.01), stop.is_set())
    """)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_a_thread_that_dies_stops_the_process_and_is_named():
    done = run_python("""
        import threading
        from metabonk.errors import MetaBonkError
        from metabonk.system.process import StopSignal
        stop = StopSignal()
        stop.watch_threads()
        threading.Thread(target=lambda: 1 / 0, name="encode").start()
        assert stop.wait(5)
        try:
            stop.raise_failure()
        except MetaBonkError as error:
            print(error)
    """)
    assert "encode" in done.stdout
    assert "ZeroDivisionError" in done.stdout


def test_a_child_ends_when_its_parent_is_killed():
    program = textwrap.dedent("""
        import os, subprocess, sys, time
        child = subprocess.Popen(
            [sys.executable, "-c",
             "import sys, time; from metabonk.system.process import die_with_parent; "
             "die_with_parent(int(sys.argv[1])); print('ready', flush=True); time.sleep(60)",
             str(os.getpid())],
            stdout=subprocess.PIPE, text=True)
        child.stdout.readline()
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    while _runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_child_whose_parent_has_gone_does_not_start():
    done = run_python("""
        from metabonk.system.process import die_with_parent
        die_with_parent(1 << 22)
    """)
    assert done.returncode != 0
    assert "has already ended" in done.stderr


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_log_on_a_full_disk_loses_its_lines_and_says_nothing_on_the_terminal():
    done = run_python("""
        import logging
        from pathlib import Path
        from metabonk.system.process import configure_logging
        configure_logging("test", Path("/dev/full"))
        logging.getLogger("test").info("a line")
        print("goes on")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\n", "")
