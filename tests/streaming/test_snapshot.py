"""``metabonk.streaming.snapshot``: JPEGs of the newest frame."""

import asyncio
import io
import threading

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from metabonk.streaming import snapshot
from metabonk.streaming.snapshot import MAX_AGE_S, Snapshot
from tests.support.clock import Clock
from tests.support.frames import draw


class Game:
    """A newest frame and a clock, set by the test."""

    def __init__(self) -> None:
        self.frame: NDArray[np.uint8] | None = None
        self.clock = Clock(10.0)
        self.snapshot = Snapshot(lambda: self.frame, self.clock)

    def jpeg(self, max_width: int | None = None) -> bytes:
        data = asyncio.run(self.snapshot.jpeg(max_width))
        assert data is not None
        return data


def test_there_is_no_snapshot_before_the_first_frame():
    assert asyncio.run(Game().snapshot.jpeg()) is None


def test_it_shows_the_newest_frame():
    game = Game()
    game.frame = draw(3, 256, 144)
    shown = np.asarray(Image.open(io.BytesIO(game.jpeg())))
    assert shown.shape == (144, 256, 3)
    assert np.abs(shown[:, :120].astype(int) - game.frame[:, :120]).mean() < 3


@pytest.mark.parametrize(
    ("max_width", "size"), [(128, (128, 72)), (256, (256, 144)), (4000, (256, 144))]
)
def test_it_is_at_most_max_width_wide_and_never_scaled_up(max_width: int, size: tuple[int, int]):
    game = Game()
    game.frame = draw(3, 256, 144)
    assert Image.open(io.BytesIO(game.jpeg(max_width))).size == size


def test_a_frame_is_encoded_once_per_size(monkeypatch: pytest.MonkeyPatch):
    made = []
    encode = snapshot._encode
    monkeypatch.setattr(snapshot, "_encode", lambda *a: made.append(a[1]) or encode(*a))
    game = Game()
    game.frame = draw(1)
    first = game.jpeg()
    assert game.jpeg() is first and game.jpeg(64) == game.jpeg(64) != first
    game.clock.now += 100
    assert game.jpeg() is first
    assert made == [None, 64]


def test_a_recent_jpeg_is_served_again():
    game = Game()
    game.frame = draw(1)
    first = game.jpeg()
    game.frame = draw(2)
    game.clock.now += MAX_AGE_S / 2
    assert game.jpeg() is first
    game.clock.now += MAX_AGE_S
    assert game.jpeg() != first


def test_frames_are_encoded_off_the_event_loop(monkeypatch: pytest.MonkeyPatch):
    threads = []
    encode = snapshot._encode
    monkeypatch.setattr(
        snapshot, "_encode", lambda *a: threads.append(threading.current_thread()) or encode(*a)
    )
    game = Game()
    game.frame = draw(1)
    game.jpeg()
    assert threads and threads[0] is not threading.main_thread()
