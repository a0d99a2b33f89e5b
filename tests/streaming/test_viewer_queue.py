"""``metabonk.streaming.viewer_queue``: order, bounds, and never half a GOP."""

from hypothesis import given
from hypothesis import strategies as st

from metabonk.encoding.access_unit import AccessUnit
from metabonk.messages.streams import StateMessage
from metabonk.messages.workers import StreamState
from metabonk.streaming.fmp4 import ParameterSets
from metabonk.streaming.gop import Epoch, Fragment, QueueLimits
from metabonk.streaming.viewer_queue import Item, ViewerQueue

LIVE = StateMessage(state=StreamState.LIVE, reason="live")
STANDBY = StateMessage(state=StreamState.STANDBY, reason="no session")
PARAMETERS = ParameterSets(b"sequence", b"picture")
EPOCH = Epoch(1, PARAMETERS, 320, 180, 30, b"init")
TICKS_PER_FRAME = 3000


def fragment(number: int, *, key: bool = False, size: int = 10) -> Fragment:
    unit = AccessUnit(str(number).encode(), number / 30, key)
    return Fragment(unit, number * TICKS_PER_FRAME, bytes(size))


def limits(seconds: float) -> QueueLimits:
    return QueueLimits(seconds=seconds, size=10_000)


def drain(queue: ViewerQueue) -> list[Item]:
    items = []
    while (item := queue.take()) is not None:
        items.append(item)
    return items


def numbers(items: list[Item]) -> list[int]:
    return [int(item.unit.data) for item in items if isinstance(item, Fragment)]


def test_a_viewer_gets_the_state_then_the_epoch_then_frames():
    queue = ViewerQueue(limits(1))
    queue.put_epoch(EPOCH)
    queue.put(fragment(0, key=True))
    queue.put_state(LIVE)
    assert drain(queue) == [LIVE, EPOCH, fragment(0, key=True)]
    assert not queue


def test_a_viewer_starts_with_a_keyframe():
    queue = ViewerQueue(limits(1))
    for i in range(6):
        assert queue.put(fragment(i, key=i == 3)) is False
    assert numbers(drain(queue)) == [3, 4, 5]


def test_a_gop_lets_a_viewer_start_in_its_middle():
    queue = ViewerQueue(limits(1))
    assert not queue.started
    queue.put_gop([fragment(0, key=True), fragment(1)])
    queue.put(fragment(2))
    assert queue.started
    assert numbers(drain(queue)) == [0, 1, 2]


def test_a_full_queue_drops_up_to_its_newest_keyframe():
    queue = ViewerQueue(limits(10 / 30))
    for i in range(11):
        assert queue.put(fragment(i, key=i in (0, 4, 8))) is False
    assert queue.put(fragment(11)) is True
    assert numbers(drain(queue)) == [8, 9, 10, 11]


def test_a_full_queue_without_another_keyframe_is_cleared_and_waits_for_one():
    queue = ViewerQueue(limits(3 / 30))
    dropped = [queue.put(fragment(i, key=i in (0, 8))) for i in range(10)]
    assert [i for i, full in enumerate(dropped) if full] == [4]
    assert numbers(drain(queue)) == [8, 9]


def test_the_size_is_bounded_too():
    queue = ViewerQueue(QueueLimits(seconds=60, size=100))
    queue.put(fragment(0, key=True, size=60))
    assert queue.put(fragment(1, size=60)) is True
    assert numbers(drain(queue)) == []


def test_a_single_frame_beyond_the_limit_is_dropped():
    queue = ViewerQueue(QueueLimits(seconds=60, size=100))
    assert queue.put(fragment(0, key=True, size=101)) is True
    assert drain(queue) == []


def test_a_new_epoch_replaces_the_old_ones_frames():
    queue = ViewerQueue(limits(1))
    newer = Epoch(2, PARAMETERS, 160, 90, 30, b"other")
    queue.put_epoch(EPOCH)
    queue.put(fragment(0, key=True))
    queue.put_epoch(newer)
    assert not queue.started
    queue.put(fragment(1))
    queue.put(fragment(2, key=True))
    assert drain(queue) == [newer, fragment(2, key=True)]


def test_only_the_newest_state_is_kept():
    queue = ViewerQueue(limits(1))
    queue.put_state(LIVE)
    queue.put_state(STANDBY)
    assert drain(queue) == [STANDBY]


def test_after_an_end_queued_frames_are_sent_and_a_keyframe_has_to_come():
    queue = ViewerQueue(limits(1))
    queue.put(fragment(0, key=True))
    queue.end()
    queue.put(fragment(1))
    queue.put(fragment(2, key=True))
    assert numbers(drain(queue)) == [0, 2]


@given(
    keys=st.lists(st.booleans(), max_size=80),
    takes=st.lists(st.integers(0, 3), max_size=80),
    length=st.integers(1, 12),
    size=st.integers(10, 150),
)
def test_no_viewer_ever_gets_a_frame_that_it_cannot_decode(keys, takes, length, size):
    queue = ViewerQueue(QueueLimits(seconds=length / 30, size=size))
    got: list[int] = []
    for i, key in enumerate(keys):
        queue.put(fragment(i, key=key))
        for _ in range(takes[i] if i < len(takes) else 0):
            got += numbers([item] if (item := queue.take()) else [])
        waiting = list(queue._fragments)
        assert sum(len(f.data) for f in waiting) == queue._bytes <= size
        assert len(waiting) <= length + 1
    got += numbers(drain(queue))
    for before, number in zip([None, *got], got, strict=False):
        assert keys[number] or number - 1 == before
