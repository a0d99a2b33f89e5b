"""``Stream``: pictures of anything."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metabonk.broadcast import channel, places
from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.places import find_rings
from metabonk.broadcast.records import FrameRecord, Record, Step, Thought
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.ring_writer import RingWriter
from metabonk.broadcast.stream import Stream
from metabonk.errors import StartError
from tests.support.rings import records_of
from tests.support.waiting import until

PIXELS = np.full((20, 30, 3), 7, np.uint8)


@pytest.fixture
def stream() -> Iterator[Stream]:
    with contextlib.closing(Stream("robot", fps=60)) as made:
        yield made


def watch() -> RingReader:
    (file,) = find_rings()
    set_demand(file, Demand.FRAMES, 600)
    return RingReader(file)


def read(reader: RingReader) -> list[Record]:
    return records_of(reader)


def test_it_is_announced_by_its_first_picture(stream: Stream):
    assert find_rings() == []
    stream.show(PIXELS)
    reader = watch()
    announced = Announcement.from_json(reader.announcement)
    assert (announced.name, announced.kind, announced.fps) == ("robot", "stream", 60.0)
    assert read(reader) == []
    stream.close()
    assert find_rings() == []
    stream.show(PIXELS)
    assert find_rings() == []


def test_pictures_come_with_their_reward_and_text(stream: Stream):
    stream.show(PIXELS)
    reader = watch()
    stream.show(PIXELS, reward=np.float32(0.5), text="grasps")
    thought, step, frame = read(reader)
    assert isinstance(thought, Thought) and thought.text == "grasps"
    assert isinstance(step, Step) and step.reward == 0.5
    assert isinstance(frame, FrameRecord) and np.array_equal(frame.pixels, PIXELS)


def test_no_more_pictures_are_sent_than_are_shown_but_every_reward_is(stream: Stream):
    stream.show(PIXELS)
    reader = watch()
    for _ in range(50):
        stream.show(PIXELS, reward=1)
    records = read(reader)
    assert sum(isinstance(each, Step) for each in records) == 50
    assert sum(isinstance(each, FrameRecord) for each in records) < 25
    until("the next is due", lambda: stream.show(PIXELS) or read(reader))


def test_a_larger_picture_gets_a_larger_ring(stream: Stream):
    stream.show(PIXELS)
    watch()
    large = np.zeros((1080, 1920, 3), np.uint8)

    def is_shown() -> bool:
        stream.show(large)
        reader = watch()
        stream.show(large)
        return any(isinstance(each, FrameRecord) for each in read(reader))

    until("it is shown", is_shown)


def test_what_is_no_picture_ends_it_with_a_warning(stream: Stream):
    stream.show(PIXELS)
    watch()
    with pytest.warns(UserWarning, match="an image of shape"):
        stream.show("picture")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stream.show("picture")
    assert find_rings() == []


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, rings: Path):
    monkeypatch.setenv("METABONK_BROADCAST", "0")
    Stream("robot").show(PIXELS)
    assert not rings.exists()


@pytest.mark.parametrize("fps", [0, 1000, float("nan")])
def test_an_impossible_pace_is_refused(fps: float):
    with pytest.raises(ValueError, match=r"fps of Stream is .*; allowed: 1 … 240"):
        Stream("robot", fps=fps)


def test_no_picture_is_copied_for_those_who_want_records_only(stream: Stream):
    stream.show(PIXELS)
    reader = watch()
    set_demand(reader.file, Demand.RECORDS, 600)
    stream.show(PIXELS, reward=1.0, text="grasps")
    assert [type(each) for each in read(reader)] == [Thought, Step]


def test_a_picture_that_no_ring_has_room_for_is_shown_smaller_with_a_warning(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
):
    def create_small(announcement: Announcement, capacities: tuple[int, ...]) -> RingWriter:
        if min(capacities) > places.CAPACITY:
            raise StartError("/dev/shm: No space left on device")
        return places.create_ring(announcement, capacities)

    monkeypatch.setattr(channel, "create_ring", create_small)
    stream.show(PIXELS)
    watch()
    large = np.arange(600 * 800 * 3, dtype=np.uint8).reshape(600, 800, 3)
    with pytest.warns(UserWarning, match="800×600 smaller .* No space left"):
        stream.show(large)
    with warnings.catch_warnings(action="error"):
        shown = until("it is shown", lambda: _shown(stream, large))
    assert np.array_equal(shown.pixels, large[::2, ::2])


def _shown(stream: Stream, pixels: np.ndarray) -> FrameRecord | None:
    reader = watch()
    stream.show(pixels)
    frames = [each for each in read(reader) if isinstance(each, FrameRecord)]
    return frames[-1] if frames else None
