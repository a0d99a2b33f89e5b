"""Starting of Doom engines."""

import logging
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import vizdoom as vzd

from metabonk.errors import GameError
from metabonk.games import doom_engine
from metabonk.games.doom_engine import MIN_SIZE, launcher, nearest_size, start_engine
from metabonk.games.doom_scenarios import load_scenario
from metabonk.system import shared_core


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the engine folder, in a path that needs quoting in a shell."""
    runtime = tmp_path / "it's a $HOME"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    cached = (doom_engine._check_engine, doom_engine._wrappers, doom_engine._is_noexec)
    for function in cached:
        function.cache_clear()
    yield runtime / "metabonk" / "doom"
    for function in cached:
        function.cache_clear()


@pytest.mark.parametrize(
    ("requested", "drawn"),
    [
        (None, (256, 144)),
        ((1280, 720), (1280, 720)),
        ((640, 480), (640, 360)),
        ((3840, 2160), (1920, 1080)),
        ((2, 2), (256, 144)),
    ],
)
def test_the_nearest_16_by_9_size_is_chosen(
    requested: tuple[int, int] | None, drawn: tuple[int, int]
):
    assert nearest_size(requested) == drawn


def test_an_engine_starts_from_a_path_that_needs_quoting(folder: Path):
    game = start_engine(load_scenario("basic"), (256, 144))
    assert game.is_running()
    game.close()
    assert "_vizdoom" in {file.name for file in folder.iterdir()}


def test_the_launcher_is_executable_by_its_user_only(folder: Path):
    file = launcher()
    assert file.parent == folder
    assert stat.S_IMODE(file.stat().st_mode) == 0o700
    subprocess.run(["sh", "-n", str(file)], check=True)


def test_a_launcher_is_made_anew_where_its_folder_was_removed(folder: Path):
    launcher()
    shutil.rmtree(folder.parent)
    assert os.access(launcher(), os.X_OK)


def test_a_changed_launcher_is_rewritten(folder: Path):
    text = launcher().read_text()
    launcher().write_text("#!/bin/sh\nexit 1\n")
    assert launcher().read_text() == text


def test_on_a_noexec_mount_the_engine_starts_without_a_guard(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    class Mounted:
        f_flag = os.ST_NOEXEC

    monkeypatch.setattr(os, "statvfs", lambda path: Mounted)
    with caplog.at_level(logging.WARNING):
        assert launcher() == Path(vzd.exe_path)
    assert "noexec" in caplog.text


def test_without_setpriv_the_engine_still_starts(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doom_engine.shutil, "which", lambda name: None)
    text = launcher().read_text()
    assert "--pdeathsig" not in text
    assert str(vzd.exe_path) in text


def test_an_engine_that_cannot_run_is_a_game_error_with_its_output(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    broken = folder.parent / "engine"
    broken.parent.mkdir(mode=0o700)
    broken.write_text(
        "#!/bin/sh\necho 'libSDL2.so: cannot open shared object file' >&2\nexit 127\n"
    )
    broken.chmod(0o700)
    monkeypatch.setattr(vzd, "exe_path", str(broken))
    with pytest.raises(GameError, match=r"can't run on this machine: libSDL2\.so"):
        start_engine(load_scenario("basic"), (256, 144))


def test_too_little_shared_memory_is_a_game_error_with_both_sizes(monkeypatch: pytest.MonkeyPatch):
    class Usage:
        free = 14 << 20

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(GameError, match="needs 15 MB of /dev/shm, but only 14 MB are free"):
        start_engine(load_scenario("basic"), (1280, 720))


def test_an_engine_is_on_the_core_of_a_thread_that_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_core, "STAY_S", 600.0)
    engine = start_engine(load_scenario("basic"), MIN_SIZE)
    assert engine._watch is not None
    process = psutil.Process(engine._watch._pid)
    with ThreadPoolExecutor(1, initializer=shared_core.stay) as thread:
        for _ in range(2):
            thread.submit(engine.new_episode).result()
        assert len(process.cpu_affinity()) == 1
        # As when the game is shown from now on.
        engine.new_episode()
        assert set(process.cpu_affinity()) == shared_core.EVERYWHERE
    engine.close()
