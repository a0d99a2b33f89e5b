"""Stop signals, logging and the death of the parent process."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.waiting import until


def run_python(program: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_immediately(number: signal.Signals):
    result = run_python(f"""
        import os, threading, time
        from metabonk.system.process import StopSignal
        stop = StopSignal()
        threading.Timer(0.1, os.kill, (os.getpid(), {int(number)})).start()
        began = time.monotonic()
        print(stop.wait(50), stop.is_set(), stop.wait(0), time.monotonic() - began < 25)
    """)
    assert result.stdout.split() == ["True"] * 4, result.stderr


def test_many_signals_during_waits_never_block():
    result = run_python("""
        import os, signal, threading
        from metabonk.system.process import StopSignal
        stop = StopSignal()
        pid = os.getpid()
        def send_signals():
            for _ in range(2000):
                os.kill(pid, signal.SIGTERM)
        thread = threading.Thread(target=send_signals)
        thread.start()
        while thread.is_alive():
            stop.wait(0)
        print("done")
    """)
    assert result.stdout.strip() == "done", result.stderr


def test_without_a_signal_the_wait_times_out():
    result = run_python("""
        from metabonk.system.process import StopSignal
        stop = StopSignal()
        print(stop.wait(0.01), stop.is_set())
    """)
    assert result.stdout.split() == ["False", "False"], result.stderr


def test_a_failed_thread_stops_the_process_and_is_named():
    result = run_python("""
        import threading
        from metabonk.errors import MetaBonkError
        from metabonk.system.process import StopSignal
        stop = StopSignal()
        stop.watch_threads()
        threading.Thread(target=lambda: 1 / 0, name="encode").start()
        assert stop.wait(50)
        try:
            stop.raise_failure()
        except MetaBonkError as error:
            print(error)
    """)
    assert "encode" in result.stdout
    assert "ZeroDivisionError" in result.stdout


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
    until("the child has ended", lambda: not _is_running(child))


def test_a_child_whose_parent_has_ended_does_not_start():
    result = run_python("""
        from metabonk.system.process import die_with_parent
        die_with_parent(1 << 22)
    """)
    assert result.returncode != 0
    assert "has already ended" in result.stderr


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_log_on_a_full_disk_drops_lines_silently():
    result = run_python("""
        import logging
        from pathlib import Path
        from metabonk.system.process import configure_logging
        configure_logging("test", Path("/dev/full"))
        logging.getLogger("test").info("a line")
        print("still running")
    """)
    assert (result.returncode, result.stdout, result.stderr) == (0, "still running\n", "")


def test_no_message_can_forge_a_log_line_or_control_a_terminal_that_shows_it():
    result = run_python("""
        import logging
        from metabonk.system.process import configure_logging
        configure_logging("test")
        try:
            raise ValueError("\\x1b[2J\\n2026-01-01 00:00:00,000 ERROR   test forged")
        except ValueError:
            logging.getLogger("test").exception("viewer said \\x9b31m\\u202e")
    """)
    assert "viewer said \\x9b31m\\u202e" in result.stderr
    assert "ValueError: \\x1b[2J" in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("20")]) == 1


def test_the_death_of_a_thread_that_is_started_again_ends_nothing():
    result = run_python("""
        import threading
        from metabonk.system.process import StopSignal
        stop = StopSignal()
        stop.watch_threads(revived=("health",))
        def fail():
            raise ValueError("a mistake")
        for name in ("health", "http-8040"):
            thread = threading.Thread(target=fail, name=name)
            thread.start()
            thread.join()
            print(name, stop.is_set())
        stop.raise_failure()
    """)
    assert result.stdout.splitlines() == ["health False", "http-8040 True"]
    assert "MetaBonkError: thread http-8040 died: ValueError('a mistake')" in result.stderr
