"""``metabonk nvenc cleanup`` finds leftovers and ends nothing else."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from metabonk.encoding.sessions import Pool
from tests.cli.conftest import TIMEOUT_S, Terminal
from tests.support.census import runs
from tests.support.processes import kill
from tests.support.waiting import GENEROUS_S, until

# Looks like a worker in the process table, leases a slot and outlives its starter.
WORKER = """
import signal, sys, time
from pathlib import Path
from metabonk.encoding.sessions import Pool
folder = Path(sys.argv[sys.argv.index("--slots") + 1])
if folder.name != "none":
    Pool("cpu", folder, lambda: 9).take(worker="omega-3", purpose="stream", backend="av:libx264")
print("ready", flush=True)
time.sleep(600)
"""

# Starts that worker in a process session, prints its pid and ends when its input does.
STARTER = """
import os, subprocess, sys
worker = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1], "-m", *sys.argv[2:], "--parent", str(os.getpid())],
    stdout=subprocess.PIPE, start_new_session=True, text=True)
worker.stdout.readline()
print(worker.pid, flush=True)
sys.stdin.read()
"""


class DetachedWorker:
    """A worker whose starter ends on demand."""

    def __init__(self, environment: dict[str, str], slots: Path, module: str) -> None:
        command = [sys.executable, "-c", STARTER, WORKER, module, "--index", "3", "--slots", slots]
        self.starter = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.starter.stdout is not None
        self.worker = psutil.Process(int(self.starter.stdout.readline()))

    def orphan(self) -> psutil.Process:
        self.starter.communicate()
        return self.worker

    def close(self) -> None:
        self.starter.communicate()
        kill([self.worker])


@pytest.fixture(autouse=True)
def _no_dead_games(cleanup_lock: None, terminal: Terminal) -> None:
    """Remove leftovers of games killed by others on this machine."""
    assert terminal.run("cleanup-games").returncode == 0


@pytest.fixture
def workers(terminal: Terminal) -> Iterator[list[DetachedWorker]]:
    started: list[DetachedWorker] = []
    yield started
    for worker in started:
        worker.close()


def start_worker(
    workers: list[DetachedWorker], terminal: Terminal, *, module: str = "metabonk.cli.main"
) -> DetachedWorker:
    slots = terminal.folder / "runtime" / "slots"
    slots.mkdir(parents=True, exist_ok=True, mode=0o700)
    slots.parent.chmod(0o700)
    workers.append(DetachedWorker(terminal.environment, slots, module))
    return workers[-1]


def touched(output: str) -> list[str]:
    """Return the workers that were listed or ended; others on this machine may leave games."""
    return re.findall(r"^(?:left over:|ended|killed) metabonk.*", output, re.M)


def test_without_leftovers_it_reports_none(terminal: Terminal):
    for flags in ((), ("--kill",), ("--kill", "--all"), ("--kill", "--force")):
        result = terminal.run("nvenc", "cleanup", *flags)
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith("NVML: gpu_index=0")
        assert "left over" in result.stdout.splitlines()[-1]


def test_an_orphan_is_listed_and_ended_only_on_request(
    terminal: Terminal, workers: list[DetachedWorker]
):
    worker = start_worker(workers, terminal).orphan()
    listed = terminal.run("nvenc", "cleanup").stdout
    assert f"left over: metabonk.cli.main --index omega-3 (pid {worker.pid})" in listed
    assert f"omega-3 (pid {worker.pid}, stream av:libx264)" in listed
    assert runs(worker)
    killed = terminal.run("nvenc", "cleanup", "--kill").stdout
    assert f"metabonk.cli.main --index omega-3 (pid {worker.pid})" in killed
    until("the worker has ended", lambda: not runs(worker))
    assert "cleared cpu slot 0, left by omega-3" in killed
    assert not touched(terminal.run("nvenc", "cleanup").stdout)


def test_a_worker_whose_starter_is_alive_is_left_alone(
    terminal: Terminal, workers: list[DetachedWorker]
):
    started = start_worker(workers, terminal)
    for flags in ((), ("--kill",), ("--kill", "--force"), ("--kill", "--all", "--force")):
        output = terminal.run("nvenc", "cleanup", *flags).stdout
        assert not touched(output)
    assert runs(started.worker)


def test_an_orphan_of_another_program_is_left_alone(
    terminal: Terminal, workers: list[DetachedWorker]
):
    worker = start_worker(workers, terminal, module="other.program").orphan()
    output = terminal.run("nvenc", "cleanup", "--kill", "--force").stdout
    assert str(worker.pid) not in output.splitlines()[-1]
    assert runs(worker)


def test_the_slot_of_a_killed_worker_is_listed_and_cleared(
    terminal: Terminal, workers: list[DetachedWorker]
):
    worker = start_worker(workers, terminal).orphan()
    worker.kill()
    until("the worker has ended", lambda: not runs(worker))
    assert "omega-3" in terminal.run("nvenc", "cleanup").stdout
    assert "cleared cpu slot 0" in terminal.run("nvenc", "cleanup", "--kill").stdout
    pool = Pool("cpu", terminal.folder / "runtime" / "slots", lambda: 1)
    assert pool.stale_holders() == []


def test_running_fleets_are_stopped_only_after_confirmation(terminal: Terminal):
    process = terminal.start("OBEDIENT", "--workers", "1")
    terminal.ready(("learner", "omega-0"))
    unconfirmed = terminal.run("nvenc", "cleanup", "--kill", "--all")
    assert unconfirmed.returncode != 0
    assert "--force" in unconfirmed.stderr
    assert answer(terminal, "n\n") != 0
    assert process.poll() is None
    assert answer(terminal, "y\n") == 0
    assert process.wait(GENEROUS_S) == 0


def test_force_skips_the_confirmation(terminal: Terminal):
    process = terminal.start("OBEDIENT", "--workers", "1")
    terminal.ready(("learner", "omega-0"))
    result = terminal.run("nvenc", "cleanup", "--kill", "--all", "--force")
    assert "stopped the fleet" in result.stdout, result.stderr
    assert process.wait(GENEROUS_S) == 0


def answer(terminal: Terminal, text: str) -> int:
    """Run ``--kill --all`` on a terminal, type an answer and return the exit code."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "metabonk.cli.main", "nvenc", "cleanup", "--kill", "--all"],
        cwd=terminal.folder,
        env=terminal.environment,
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as command:
        os.close(slave)
        os.write(master, text.encode())
        output, _ = command.communicate(timeout=TIMEOUT_S)
    os.close(master)
    assert "Continue? [y/N]" in output
    return command.returncode
