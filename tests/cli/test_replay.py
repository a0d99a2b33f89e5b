"""``metabonk replay``."""

import dataclasses
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest

from metabonk.cli.main import main
from metabonk.policy.episode_log import EpisodeLog
from tests.support.earlier_runs import write_episodes
from tests.support.recorded_episodes import record
from tests.support.replayable_runs import write_replayable_run

GAME = "gym:CartPole-v1"
SIZE = ("--size", "160x96")


@pytest.fixture(scope="module")
def logs() -> list[EpisodeLog]:
    """Return episodes of different returns."""
    found = {log.total_reward: log for log in (record(GAME, seed) for seed in range(1, 6))}
    return list(found.values())[:3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, logs: list[EpisodeLog]) -> Path:
    """Return a working folder with a run of five episodes; the last two can't be watched."""
    folder = tmp_path_factory.mktemp("replay")
    damaged = bytearray(logs[0].to_bytes())
    damaged[-1] ^= 1
    kept = [(log.total_reward, log.to_bytes()) for log in logs]
    middle = sum(log.total_reward for log in logs) / len(logs)
    write_replayable_run(folder, GAME, [*kept, (middle, None), (middle, bytes(damaged))])
    return folder


@pytest.fixture(autouse=True)
def _keep_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command, which runs in this process, not slow down the tests after these."""
    monkeypatch.setattr(os, "nice", lambda increment: increment)


@pytest.fixture
def run_dir(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the run's folder, with another working folder than its owner's."""
    monkeypatch.setenv("METABONK_PATHS_RUNS", str(folder / "runs"))
    monkeypatch.chdir(tmp_path)
    (run_dir,) = (folder / "runs").iterdir()
    return run_dir


def replay(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["replay", *arguments, *SIZE]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> str:
    capsys.readouterr()
    assert main(["replay", *arguments]) == code
    return capsys.readouterr().err


def test_the_best_episode_of_the_newest_run_is_drawn_by_default(
    run_dir: Path, logs: list[EpisodeLog], capsys: pytest.CaptureFixture[str]
):
    output = replay(capsys)
    best = max(range(3), key=lambda number: logs[number].total_reward)
    file = Path(f"{run_dir.name}-episode-{best + 1}.mp4")
    assert list(Path().iterdir()) == [file]
    assert output.splitlines() == [
        f"{run_dir.name}, episode {best + 1}: {GAME}, omega-0, version 7, return "
        f"{logs[best].total_reward:.2f}, {len(logs[best])} steps",
        f"wrote {file}: it came out as it was played",
    ]
    with av.open(file) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (160, 96)
        assert sum(1 for _ in container.decode(stream)) == len(logs[best]) + 1


@pytest.mark.parametrize("by", ["name", "folder"])
def test_a_run_and_an_episode_are_chosen(
    run_dir: Path, logs: list[EpisodeLog], by: str, capsys: pytest.CaptureFixture[str]
):
    run = run_dir.name if by == "name" else os.path.relpath(run_dir)
    assert f"episode 2: {GAME}" in replay(capsys, run, "2", "-o", "second.mp4")
    assert Path("second.mp4").exists()
    worst = min(range(3), key=lambda number: logs[number].total_reward)
    assert f"episode {worst + 1}: " in replay(capsys, run, "worst", "-o", "worst.mp4")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nine",), "there is no run 'nine' in "),
        (("newest", "99"), r"run \S+ has no episode 99$"),
        (("newest", "first"), "'first' is no episode: give its number, or best, worst or last$"),
        (("newest", "4"), "episode 4 of run .* can't be repeated: its log is not kept"),
        (("newest", "5"), "episode 5 of run .* can't be repeated: the episode log is damaged"),
        (("-o", "nowhere/a.mp4"), "can't write nowhere/a.mp4: there is no folder nowhere$"),
        (("-o", "a.avi"), r"can't write a.avi: the name must end in \.mp4$"),
        (("-o", "old.mp4"), "old.mp4 exists already; delete it, or name another file with -o$"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_sentence(
    run_dir: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
):
    Path("old.mp4").write_bytes(b"old")
    error = refused(capsys, *arguments)
    assert re.search(f"^metabonk: .*{sentence}", error.rstrip())
    assert len(error.splitlines()) == 1
    assert [file.read_bytes() for file in Path().iterdir()] == [b"old"]


@pytest.mark.parametrize("size", ["big", "1280", "0x0", "1281x720", "99999x720", "1280x-720"])
def test_a_size_that_makes_no_sense_is_refused(size: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["replay", f"--size={size}"])
    error = capsys.readouterr().err
    assert f"in even numbers of pixels from 64x64 to 3840x2160, not '{size}'" in error


def test_without_any_run_the_way_to_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert "there is no run in runs; start one with './start" in refused(capsys)


def test_a_run_of_an_earlier_version_has_no_replays(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "settings.json").write_bytes((run_dir / "settings.json").read_bytes())
    write_episodes(earlier, 3)
    assert "no episode of run earlier can be replayed" in refused(capsys, "earlier")
    assert "episode 2 of run earlier can't be repeated: its log is not kept" in refused(
        capsys, "earlier", "2"
    )


def test_an_episode_that_comes_out_differently_leaves_no_video_and_exit_code_3(
    tmp_path: Path,
    logs: list[EpisodeLog],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    played = dataclasses.replace(logs[0].setup, versions={"gymnasium": "0.9"})
    tampered = dataclasses.replace(logs[0], setup=played, seed=logs[0].seed + 1)
    write_replayable_run(tmp_path, GAME, [(1.0, tampered.to_bytes())])
    monkeypatch.chdir(tmp_path)
    error = refused(capsys, *SIZE, code=3)
    assert "did not come out as it was played, so there is no video of it: in step" in error
    assert "(played with gymnasium 0.9, here" in error
    assert [file.name for file in tmp_path.iterdir()] == ["runs"]


def test_a_game_that_is_not_installed_is_said_in_a_sentence(
    tmp_path: Path,
    logs: list[EpisodeLog],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    setup = dataclasses.replace(logs[0].setup, game="gym:nowhere:Missing-v0")
    log = dataclasses.replace(logs[0], setup=setup).to_bytes()
    write_replayable_run(tmp_path, "gym:nowhere:Missing-v0", [(1.0, log)])
    monkeypatch.chdir(tmp_path)
    error = refused(capsys, code=2)
    assert "unknown game 'gym:nowhere:Missing-v0'" in error
    assert len(error.splitlines()) == 1


def test_a_full_disk_is_said_and_leaves_nothing(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "full.mp4.partial").symlink_to("/dev/full")
    assert "full.mp4 can't be written: No space left on device" in refused(
        capsys, "-o", "full.mp4", *SIZE
    )
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_sees_progress(run_dir: Path, tmp_path: Path):
    terminal, ours = pty.openpty()
    command = [sys.executable, "-m", "metabonk.cli.main", "replay", *SIZE]
    with subprocess.Popen(command, stdout=ours, stderr=ours, cwd=tmp_path) as process:
        os.close(ours)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # EIO: closed.
                break
    os.close(terminal)
    assert process.returncode == 0, shown
    assert re.search(rb"\r\d+ % of \d+ s, \d+\.\d times as fast as the game", shown)
