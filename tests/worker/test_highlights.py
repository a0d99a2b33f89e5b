"""``metabonk.worker.highlights``: which episodes are kept, and what their videos show."""

import io
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from metabonk.messages.replays import Highlight
from metabonk.messages.workers import EpisodeResult
from metabonk.runs.highlight import keep_highlight, read_highlight
from metabonk.streaming.hub import Hub
from metabonk.worker import highlights
from metabonk.worker.highlights import LEAD_S, Highlights
from tests.support.clock import Clock
from tests.support.frames import encode_frames
from tests.support.waiting import until

FPS, GOP = 30, 15
STARTS_AT = 1000.0


def streaming(*, frames: int = 5 * FPS, pause_s: float = 0.0) -> Hub:
    """Return the hub of a stream of so many frames, with a pause in the middle."""
    hub = Hub(Clock(STARTS_AT))
    hub.open_epoch(320, 180, FPS)
    times = [STARTS_AT + i / FPS + pause_s * (i >= frames // 2) for i in range(frames)]
    for unit in encode_frames(times, keyframes=range(0, frames, GOP)):
        hub.publish(unit)
    return hub


def episode(number: int, total_reward: float) -> EpisodeResult:
    return EpisodeResult(
        worker_index=3,
        episode=number,
        total_reward=total_reward,
        length=10,
        step=10 * number,
        policy_version=1,
        ended_at=1e9 + number,
    )


@contextmanager
def kept_by(folder: Path, hub: Hub) -> Iterator[Highlights]:
    keeper = Highlights(folder, hub)
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.close()


def until_kept(folder: Path, number: int) -> Highlight:
    def kept() -> Highlight | None:
        found = read_highlight(folder)
        return found if found is not None and found.episode == number else None

    # The thread has the lowest priority.
    return until(f"episode {number} is kept", kept, 60)


def frames_in(folder: Path) -> int:
    with av.open(io.BytesIO((folder / "highlight.mp4").read_bytes())) as file:
        return len(list(file.decode(video=0)))


def test_a_new_best_is_kept_with_its_worker_and_return(tmp_path: Path):
    with kept_by(tmp_path, streaming()) as keeper:
        keeper.offer(episode(1, 5.0), STARTS_AT + LEAD_S + 0.7, STARTS_AT + LEAD_S + 1.99)
        kept = until_kept(tmp_path, 1)
        assert (kept.worker_index, kept.total_reward, kept.ended_at) == (3, 5.0, 1e9 + 1)
        # From the keyframe before its lead, at 0.5 s, to its last frame.
        assert kept.whole and frames_in(tmp_path) == (LEAD_S + 1.5) * FPS
        assert kept.duration == pytest.approx(LEAD_S + 1.5, abs=0.01)
        for number, total_reward in ((2, 4.0), (3, 5.0)):
            keeper.offer(episode(number, total_reward), STARTS_AT + 2, STARTS_AT + 3)
        keeper.offer(episode(6, 6.0), STARTS_AT + 2, STARTS_AT + 3)
        assert until_kept(tmp_path, 6).total_reward == 6.0


def test_the_best_of_those_that_end_meanwhile_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def write(folder: Path, highlight: Highlight, video: Iterator[bytes]) -> Highlight:
        writing.set()
        assert go_on.wait(20)
        written.append(highlight.episode)
        return keep_highlight(folder, highlight, video)

    writing, go_on, written = threading.Event(), threading.Event(), list[int]()
    monkeypatch.setattr(highlights, "keep_highlight", write)
    with kept_by(tmp_path, streaming()) as keeper:
        keeper.offer(episode(1, 1.0), STARTS_AT, STARTS_AT + 1)
        assert writing.wait(20)
        for number, total_reward in ((2, 2.0), (3, 9.0), (4, 3.0)):
            keeper.offer(episode(number, total_reward), STARTS_AT + 1, STARTS_AT + 2)
        go_on.set()
        until_kept(tmp_path, 3)
    assert written == [1, 3]


def test_what_the_video_lacks_is_said(tmp_path: Path):
    with kept_by(tmp_path, streaming(pause_s=5.0)) as keeper:
        keeper.offer(episode(1, 1.0), STARTS_AT - 10, STARTS_AT + 1.5)
        assert not until_kept(tmp_path, 1).whole, "it began before the stream"
        keeper.offer(episode(2, 2.0), STARTS_AT + 1, STARTS_AT + 9)
        assert not until_kept(tmp_path, 2).whole, "it was in standby in between"
        keeper.offer(episode(3, 3.0), STARTS_AT + 7.3, STARTS_AT + 8.499)
        assert until_kept(tmp_path, 3).whole
        assert frames_in(tmp_path) == FPS, "nothing from before the standby"


def test_nothing_is_kept_of_an_episode_whose_end_nobody_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(highlights, "SETTLE_S", 0.05)
    with kept_by(tmp_path, streaming()) as keeper:
        keeper.offer(episode(1, 9.0), STARTS_AT + 1, STARTS_AT + 10)
        keeper.offer(episode(2, 10.0), STARTS_AT - 20, STARTS_AT - 10)
        until("it was considered", lambda: keeper._offer is None)
        keeper.offer(episode(3, 8.0), STARTS_AT + 1, STARTS_AT + 2)
        assert until_kept(tmp_path, 3).total_reward == 8.0
    with kept_by(tmp_path, Hub()) as keeper:
        keeper.offer(episode(4, 99.0), 0.0, time.monotonic())
        until("it was considered", lambda: keeper._offer is None)
    assert until_kept(tmp_path, 3)


def test_the_best_of_other_workers_and_earlier_starts_counts(tmp_path: Path):
    with kept_by(tmp_path, streaming()) as keeper:
        keeper.offer(episode(1, 5.0), STARTS_AT, STARTS_AT + 1)
        until_kept(tmp_path, 1)
    with kept_by(tmp_path, streaming()) as one, kept_by(tmp_path, streaming()) as other:
        one.offer(episode(2, 4.0), STARTS_AT, STARTS_AT + 1)
        one.offer(episode(3, 7.0), STARTS_AT, STARTS_AT + 1)
        until_kept(tmp_path, 3)
        other.offer(episode(4, 6.0), STARTS_AT, STARTS_AT + 1)
        other.offer(episode(5, 8.0), STARTS_AT, STARTS_AT + 1)
        until_kept(tmp_path, 5)


def test_a_full_disk_costs_one_line_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: object) -> Highlight:
        failures.append(None)
        raise OSError(28, "No space left on device")

    failures = list[None]()
    monkeypatch.setattr(highlights, "keep_highlight", fail)
    caplog.set_level(logging.WARNING)
    with kept_by(tmp_path, streaming()) as keeper:
        for number in (1, 2, 3):
            keeper.offer(episode(number, 1.0), STARTS_AT, STARTS_AT + 1)
            until("it was tried", lambda number=number: len(failures) == number)
        monkeypatch.setattr(highlights, "keep_highlight", keep_highlight)
        keeper.offer(episode(4, 1.0), STARTS_AT, STARTS_AT + 1)
        until_kept(tmp_path, 4)
    assert [record.message for record in caplog.records] == [
        "the video of the best episode can't be kept: [Errno 28] No space left on device"
    ]


def test_it_ends_before_it_began(tmp_path: Path):
    Highlights(tmp_path, Hub()).close()
