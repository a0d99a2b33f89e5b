"""Pictures on their way into the stream: at its rate, whatever the pace of the game."""

import itertools
import time
from typing import Any

import numpy as np
import pytest

from metabonk.broadcast.records import FrameRecord
from metabonk.frame import Frame
from metabonk.guest import screen as module
from metabonk.guest.screen import REPEAT_S, Screen
from metabonk.system.tic_clock import TicClock


class FakeStream:
    """Keeps what a screen submits."""

    def __init__(self) -> None:
        self.render_size: tuple[int, int] | None = (640, 360)
        self.snapshots = list[Frame]()
        self.submitted = list[tuple[Frame, dict[str, Any]]]()

    def set_snapshot(self, frame: Frame) -> None:
        self.snapshots.append(frame)

    def submit_frame(self, frame: Frame, **how: Any) -> None:
        self.submitted.append((frame, how))


@pytest.fixture
def stream() -> FakeStream:
    return FakeStream()


def drawn(at: float, shape: tuple[int, int] = (40, 60)) -> FrameRecord:
    return FrameRecord(np.full((*shape, 3), 9, np.uint8), at, 0.002)


def shown_at(stream: FakeStream) -> list[float]:
    """Return when the stream shows a picture: a newer one ends the repeats of those before."""
    times = list[float]()
    for frame, how in stream.submitted:
        times = [each for each in times if each < frame.captured_at]
        times += [frame.captured_at, *how["repeat_at"]]
    return times


@pytest.mark.parametrize("tics_per_s", [10, 30, 50, 240])
def test_a_game_of_any_pace_fills_the_stream(stream: FakeStream, tics_per_s: int):
    screen = Screen(stream, tics_per_s)  # type: ignore[arg-type]
    shadow = TicClock(tics_per_s, 30)
    for tic in range(4 * tics_per_s):
        if shadow.count_frames():
            screen.show(drawn(100 + tic / tics_per_s), (), 30)
    times = [each for each in shown_at(stream) if 101 <= each < 103]
    assert len(times) == pytest.approx(60, abs=2)
    assert max(b - a for a, b in itertools.pairwise(times)) < 2.5 / 30


def test_a_picture_is_repeated_while_the_next_one_is_late(stream: FakeStream):
    screen = Screen(stream, 30)  # type: ignore[arg-type]
    screen.show(drawn(100.0), (), 30)
    times = shown_at(stream)
    assert len(times) in (29, 30, 31) and times[-1] == pytest.approx(100 + REPEAT_S, abs=0.05)
    assert times[1] - times[0] > 1 / 30, "the next one may be a little late"


def test_the_last_picture_stays_while_a_trainer_pauses(
    stream: FakeStream, monkeypatch: pytest.MonkeyPatch
):
    screen = Screen(stream, 30)  # type: ignore[arg-type]
    screen.keep_up(30)
    assert stream.submitted == []
    now = time.monotonic()
    screen.show(drawn(now), (), 30)
    screen.keep_up(30)
    assert len(stream.submitted) == 1
    monkeypatch.setattr(module.time, "monotonic", lambda: now + REPEAT_S + 0.1)
    screen.keep_up(30)
    (first, _), (again, how) = stream.submitted
    assert again.pixels is first.pixels and again.captured_at == now + REPEAT_S + 0.1
    assert len(how["repeat_at"]) in (29, 30, 31)


def test_a_stream_that_begins_shows_what_was_drawn_before(stream: FakeStream):
    screen = Screen(stream, 30)  # type: ignore[arg-type]
    screen.take_snapshot(drawn(time.monotonic() - 60))
    assert len(stream.snapshots) == 1 and screen.size == (60, 40)
    screen.keep_up(30)
    ((frame, how),) = stream.submitted
    assert frame.pixels.shape[1] / frame.pixels.shape[0] == pytest.approx(16 / 9, abs=0.05)
    assert how["snapshot"].width in (60, 180)
    stream.render_size = None
    screen.show(drawn(time.monotonic()), (), 30)
    assert len(stream.submitted) == 1 and len(stream.snapshots) == 2
