"""Cleanup of engines and shared memory that dead games left behind."""

import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from metabonk.games.doom import Doom
from metabonk.games.doom_cleanup import remove_orphans
from metabonk.system import shared_memory
from tests.support.census import runs
from tests.support.processes import named
from tests.support.waiting import GENEROUS_S, POLL_S

pytestmark = pytest.mark.usefixtures("cleanup_lock")

PLAYER = """
import sys, time
import metabonk.games.doom_engine as engine
{before}
from metabonk.games.doom import Doom
game = Doom("basic", frame_skip=4)
game.reset(1)
print("plays", flush=True)
time.sleep(60)
"""


@pytest.fixture
def _own_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def kill_player(before: str = "") -> tuple[psutil.Process, list[Path]]:
    """Kill a process while it plays; return its engine and its shared memory files."""
    command = [sys.executable, "-c", PLAYER.format(before=before)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as player:
        try:
            assert player.stdout is not None
            assert player.stdout.readline() == "plays\n"
            (engine,) = named(psutil.Process(player.pid).children(recursive=True), "vizdoom")
            arguments = engine.cmdline()
            name = arguments[arguments.index("+viz_instance_id") + 1]
            # Once it is dead, a fleet that another test process starts may remove them.
            files = list(Path("/dev/shm").glob(f"ViZDoom*{name}"))
        finally:
            player.kill()
    return engine, files


def has_ended(process: psutil.Process, timeout: float = GENEROUS_S) -> bool:
    """Return whether a process has ended; an orphan may stay a zombie if nothing reaps it."""
    deadline = time.monotonic() + timeout
    while runs(process) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return not runs(process)


@pytest.mark.usefixtures("_own_runtime_dir")
def test_an_engine_ends_immediately_when_its_player_is_killed():
    for _ in range(3):
        engine, files = kill_player()
        assert has_ended(engine)
        assert len(files) == 3
        messages = remove_orphans()
        assert not any(file.exists() for file in files)
        if all(any(str(file) in message for message in messages) for file in files):
            return
        # A fleet that another test process started at the same moment removed them first.
    pytest.fail(f"the removal of {files} was not reported: {messages}")


@pytest.mark.usefixtures("_own_runtime_dir")
def test_an_engine_that_outlives_its_player_is_killed():
    engine, files = kill_player("engine._wrappers = lambda background: ''")
    assert not has_ended(engine, 0.2)
    messages = remove_orphans()
    assert has_ended(engine)
    assert any(f"pid {engine.pid}" in message for message in messages)
    assert not any(file.exists() for file in files)


def test_an_engine_of_another_runtime_directory_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "theirs"))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    engine, _ = kill_player("engine._wrappers = lambda background: ''")
    try:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "ours"))
        assert not any(f"pid {engine.pid}" in message for message in remove_orphans())
        assert not has_ended(engine, 0.2)
    finally:
        os.kill(engine.pid, signal.SIGKILL)


def test_a_running_game_is_left_alone():
    game = Doom("basic", frame_skip=4)
    try:
        game.reset(1)
        remove_orphans()
        assert game.step(0).reward == -4
        game.set_render_size((640, 360))
        remove_orphans()
        game.reset(1)
        assert game.source_size == (640, 360)
    finally:
        game.close()


def test_shared_memory_is_removed_once_no_process_maps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared_memory, "PATH", tmp_path)
    file = tmp_path / "ViZDoomSMtest"
    file.write_bytes(bytes(mmap.PAGESIZE))
    other = tmp_path / "somebody's"
    other.write_bytes(b"x")
    with file.open("r+b") as stream, mmap.mmap(stream.fileno(), 0):
        assert remove_orphans() == []
        assert file.exists()
    assert remove_orphans() == [f"removed unused {file}"]
    assert other.exists()
