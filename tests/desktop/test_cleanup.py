"""What is left of desktop games whose owners were killed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from metabonk.desktop.cleanup import list_orphans, remove_orphans
from metabonk.desktop.clock import shared_files
from metabonk.desktop.game_folder import GameFolder
from tests.support.census import runs
from tests.support.desktop import small_game
from tests.support.requirements import require_desktop
from tests.support.waiting import until

PLAYER = """
import sys
from metabonk.games import make_game
from metabonk.settings.learning import Learning
game = make_game(sys.argv[1], Learning())
game.reset(1)
print("plays", flush=True)
while True:
    if game.step(0).truncated:
        game.reset(1)
"""


@pytest.fixture(autouse=True)
def _own_runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@contextmanager
def player(game_id: str) -> Iterator[tuple[psutil.Process, list[psutil.Process]]]:
    """Run a process that plays; yield it and the programs that it started."""
    command = [sys.executable, "-c", PLAYER, game_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"plays\n"
            playing = psutil.Process(process.pid)
            yield playing, playing.children()
        finally:
            process.kill()


@pytest.mark.parametrize("victim", ["player", "love", "Xvfb"])
def test_whatever_is_killed_nothing_is_left(tmp_path: Path, victim: str):
    require_desktop("love", apt="love")
    with player(small_game(tmp_path).game_id) as (playing, programs):
        assert {each.name() for each in programs} == {"love", "Xvfb"}
        by_name = {"player": playing, **{each.name(): each for each in programs}}
        by_name[victim].send_signal(signal.SIGKILL)
        until("the game has ended", lambda: not any(map(runs, programs)))
    remove_orphans()
    assert list_orphans() == []
    assert not list((tmp_path / "runtime").glob("metabonk/desktop/*"))


def test_a_frozen_game_ends_with_its_player(tmp_path: Path):
    require_desktop("lbreakout2", apt="lbreakout2 libfaketime")
    with player("desktop:lbreakout2") as (playing, programs):
        game = next(each for each in programs if each.name() == "lbreakout2")
        playing.kill()
        until("the game has ended", lambda: not any(map(runs, programs)))
    assert len(shared_files(game.pid)) == 2
    remove_orphans()
    assert list_orphans() == []
    assert not shared_files(game.pid)


def test_an_emulator_ends_with_its_player(tmp_path: Path):
    pytest.importorskip("stable_retro")
    with player("retro:Airstriker-Genesis-v0") as (playing, programs):
        assert len(programs) == 1  # It has no display.
        playing.kill()
        until("the emulator has ended", lambda: not any(map(runs, programs)))
    remove_orphans()
    assert list_orphans() == []
    assert not list((tmp_path / "runtime").glob("metabonk/desktop/*"))


def test_a_process_that_outlives_its_player_is_found_by_its_environment(tmp_path: Path):
    folder = GameFolder()
    with subprocess.Popen(["sleep", "60"], env={"METABONK_GAME_FOLDER": str(folder.path)}) as left:
        assert list_orphans() == []
        (folder.path / "owner.lock").unlink()
        (folder.path / "owner.lock").touch()  # Another file, whose lock nobody holds.
        assert list_orphans() == [
            f"desktop game without a player (pid {left.pid})",
            f"unused {folder.path}",
        ]
        assert remove_orphans() == [
            f"ended desktop game without a player (pid {left.pid})",
            f"removed unused {folder.path}",
        ]
        assert left.wait() == -signal.SIGKILL
    folder.close()
