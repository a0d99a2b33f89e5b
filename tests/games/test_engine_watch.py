"""An engine that dies during a call, with a child process as the engine."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from metabonk.games import engine_watch
from metabonk.games.engine_watch import EngineWatch
from tests.support.waiting import GENEROUS_S, until

STUCK = """
import subprocess, time
from metabonk.games.engine_watch import EngineWatch
engine = subprocess.Popen(["sleep", "60"])
with EngineWatch(engine.pid):
    engine.kill()
    time.sleep(90)
"""


@pytest.fixture
def engine() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_process_whose_call_never_returns_ends_and_says_why():
    run = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == os.EX_SOFTWARE
    assert "was killed in the middle of a step, which never returns" in run.stderr


def test_a_call_that_returns_is_not_disturbed(
    engine: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
):
    # This process would end with a call that takes longer.
    monkeypatch.setattr(engine_watch, "STUCK_S", 3 * GENEROUS_S)
    watch = EngineWatch(engine.pid)
    with watch:
        assert not watch.has_exited
        engine.kill()
        until("the death is noticed", lambda: watch.has_exited)


def test_an_engine_that_dies_between_two_calls_is_noticed(engine: subprocess.Popen[bytes]):
    watch = EngineWatch(engine.pid)
    with watch:
        pass
    engine.kill()
    until("the death is noticed", lambda: watch.has_exited)


def test_nothing_is_noticed_where_processes_have_no_descriptors(
    engine: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
):
    def pidfd_open(pid: int) -> int:
        raise OSError("not implemented")

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    watch = EngineWatch(engine.pid)
    engine.kill()
    engine.wait()
    with watch:
        assert not watch.has_exited
