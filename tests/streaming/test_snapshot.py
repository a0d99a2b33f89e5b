"""JPEGs of the newest frame."""

import asyncio
import io
import threading

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from metabonk.streaming import snapshot as module
from metabonk.streaming.snapshot import MAX_AGE_S, Snapshot
from tests.support.frames import picture


class Game:
    """A newest frame and a clock, both set by the test."""

    def __init__(self) -> None:
        self.frame: NDArray[np.uint8] | None = None
        self.now = 10.0
        self.snapshot = Snapshot(lambda: self.frame, lambda: self.now)

    def jpeg(self, max_width: int | None = None) -> bytes:
        data = asyncio.run(self.snapshot.jpeg(max_width))
        assert data is not None
        return data


def test_before_the_first_frame_there_is_none():
    assert asyncio.run(Game().snapshot.jpeg()) is None


def test_it_shows_the_newest_frame():
    game = Game()
    game.frame = picture(3, 256, 144)
    shown = np.asarray(Image.open(io.BytesIO(game.jpeg())))
    assert shown.shape == (144, 256, 3)
    assert np.abs(shown[:, :120].astype(int) - game.frame[:, :120]).mean() < 3


@pytest.mark.parametrize(
    ("max_width", "size"), [(128, (128, 72)), (256, (256, 144)), (4000, (256, 144))]
)
def test_it_is_never_wider_than_asked_and_never_scaled_up(max_width: int, size: tuple[int, int]):
    game = Game()
    game.frame = picture(3, 256, 144)
    assert Image.open(io.BytesIO(game.jpeg(max_width))).size == size


def test_a_frame_is_encoded_once_a_size(monkeypatch: pytest.MonkeyPatch):
    made = []
    encode = module._encode
    monkeypatch.setattr(module, "_encode", lambda *a: made.append(a[1]) or encode(*a))
    game = Game()
    game.frame = picture(1)
    first = game.jpeg()
    assert game.jpeg() is first and game.jpeg(64) == game.jpeg(64) != first
    game.now += 100
    assert game.jpeg() is first
    assert made == [None, 64]


def test_a_picture_that_was_just_made_does_for_the_next_who_asks():
    game = Game()
    game.frame = picture(1)
    first = game.jpeg()
    game.frame = picture(2)
    game.now += MAX_AGE_S / 2
    assert game.jpeg() is first
    game.now += MAX_AGE_S
    assert game.jpeg() != first


def test_the_work_is_done_outside_of_the_loops_thread(monkeypatch: pytest.MonkeyPatch):
    threads = []
    encode = module._encode
    monkeypatch.setattr(
        module, "_encode", lambda *a: threads.append(threading.current_thread()) or encode(*a)
    )
    game = Game()
    game.frame = picture(1)
    game.jpeg()
    assert threads and threads[0] is not threading.main_thread()
