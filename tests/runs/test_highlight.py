"""``metabonk.runs.highlight``: one video a run, the best one's, whatever happens meanwhile."""

import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.messages.replays import Highlight
from metabonk.runs.highlight import keep_highlight, read_highlight


def highlight(total_reward: float, video: bytes) -> Highlight:
    return Highlight(
        worker_index=0,
        episode=7,
        total_reward=total_reward,
        ended_at=1.0,
        duration=2.0,
        bytes=len(video),
        whole=True,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def keep(folder: Path, total_reward: float, video: bytes) -> Highlight:
    pieces = (video[i : i + 2] for i in range(0, len(video), 2))
    return keep_highlight(folder, highlight(total_reward, video), pieces)


def shown(folder: Path) -> tuple[float, bytes] | None:
    """Return the return and the video of what is shown."""
    kept = read_highlight(folder)
    return None if kept is None else (kept.total_reward, (folder / "highlight.mp4").read_bytes())


def test_the_video_of_the_best_episode_stays(tmp_path: Path):
    assert shown(tmp_path) is None
    for total_reward, best in ((1.0, 1.0), (0.5, 1.0), (1.0, 1.0), (3.0, 3.0)):
        kept = keep(tmp_path, total_reward, f"video of {total_reward}".encode())
        assert kept == read_highlight(tmp_path)
        assert shown(tmp_path) == (best, f"video of {best}".encode())
        assert names(tmp_path) == {"highlight.mp4", "highlight.json"}


def test_a_worse_one_is_not_even_packed(tmp_path: Path):
    def fail() -> Iterator[bytes]:
        raise AssertionError
        yield b""

    keep(tmp_path, 1.0, b"one")
    keep_highlight(tmp_path, highlight(0.0, b""), fail())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"episode": -1}', b"\xff" * 9999])
def test_a_damaged_description_is_as_none(tmp_path: Path, content: bytes):
    keep(tmp_path, 9.0, b"old")
    (tmp_path / "highlight.json").write_bytes(content)
    assert shown(tmp_path) is None
    keep(tmp_path, 1.0, b"new")
    assert shown(tmp_path) == (1.0, b"new")


def test_a_description_without_its_video_is_as_none(tmp_path: Path):
    keep(tmp_path, 9.0, b"old")
    (tmp_path / "highlight.mp4").write_bytes(b"of another, whose worker was killed")
    assert shown(tmp_path) is None
    (tmp_path / "highlight.mp4").unlink()
    assert shown(tmp_path) is None


def test_a_full_disk_leaves_the_one_before(tmp_path: Path):
    keep(tmp_path, 1.0, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            keep(tmp_path, 2.0, bytes(120_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert shown(tmp_path) == (1.0, b"old")
    assert names(tmp_path) == {"highlight.mp4", "highlight.json"}


def test_what_killed_processes_left_is_in_nobodys_way(tmp_path: Path):
    (tmp_path / "highlight.mp4.partial").write_bytes(bytes(1000))
    (tmp_path / "highlight.lock").touch()
    keep(tmp_path, 1.0, b"one")
    assert shown(tmp_path) == (1.0, b"one")
    assert names(tmp_path) == {"highlight.mp4", "highlight.json"}


def test_of_workers_with_a_new_best_at_once_the_best_ones_stays(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    videos = {float(n): str(n).encode() * 9999 for n in (3, 1, 4, 2)}
    workers = [context.Process(target=keep, args=(tmp_path, *each)) for each in videos.items()]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == os.EX_OK
    assert shown(tmp_path) == (4.0, videos[4.0])
    assert names(tmp_path) == {"highlight.mp4", "highlight.json"}
