"""``metabonk.system.left_behind``: what killed processes had started ends, and nothing else."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.system import shared_memory
from metabonk.system.left_behind import end_group, end_lost_sessions
from tests.support.waiting import until

ENGINE = """
import mmap, sys, time
with open(sys.argv[1], "w+b") as file:
    file.truncate(4096)
    memory = mmap.mmap(file.fileno(), 4096)
    print("mapped", flush=True)
    time.sleep(600)
"""

LEADER = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


class Started:
    """A process that leads a session, and the engine that it has started there."""

    def __init__(self, file: Path, variable: str) -> None:
        self.leader = subprocess.Popen(
            [sys.executable, "-c", LEADER, ENGINE, str(file)],
            env={**os.environ, variable: "1"},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.leader.stdout is not None
        assert self.leader.stdout.readline() == b"mapped\n"
        children = Path(f"/proc/{self.leader.pid}/task/{self.leader.pid}/children").read_text()
        self.engine = int(children.split()[0])

    def runs(self) -> bool:
        """Tell whether the engine does."""
        try:
            return "\nState:\tZ" not in Path(f"/proc/{self.engine}/status").read_text()
        except OSError:
            return False

    def end(self) -> None:
        if self.runs():
            os.kill(self.engine, signal.SIGKILL)
        self.leader.kill()
        self.leader.communicate()


@pytest.fixture
def variable() -> str:
    return f"TEST_{uuid.uuid4().hex}"


@pytest.fixture
def file() -> Iterator[Path]:
    path = shared_memory.PATH / f"metabonk-test-{uuid.uuid4()}"
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def started(file: Path, variable: str) -> Iterator[Started]:
    made = Started(file, variable)
    yield made
    made.end()


def test_a_session_ends_once_its_leader_is_killed_and_its_memory_goes_too(
    started: Started, file: Path, variable: str
):
    assert end_lost_sessions(variable) == []
    started.leader.kill()
    until("the leader is dead", lambda: end_lost_sessions(variable) == [started.engine])
    assert not started.runs()
    assert not file.exists()


def test_sessions_without_the_variable_are_left_alone(started: Started, variable: str):
    started.leader.kill()
    started.leader.wait()
    assert end_lost_sessions(f"{variable}_OF_OTHERS") == []
    assert started.runs()


def test_a_group_ends_after_its_leader_and_memory_that_others_map_stays(
    started: Started, file: Path, variable: str
):
    other = Started(file, variable)
    started.leader.kill()
    os.waitid(os.P_PID, started.leader.pid, os.WEXITED | os.WNOWAIT)
    end_group(started.leader.pid)
    assert (started.runs(), other.runs()) == (False, True)
    assert file.exists()
    other.end()
