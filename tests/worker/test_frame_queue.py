"""The queue in front of the encoder."""

from math import inf

import numpy as np

from metabonk.frame import Frame
from metabonk.worker.frame_queue import QUEUED_FRAMES, QUEUED_THOUGHTS, FrameQueue
from tests.support.recordings import thought

PIXELS = np.zeros((2, 2, 3), np.uint8)


def frame(number: int) -> Frame:
    """A frame with a thought of its number."""
    made = Frame(PIXELS, number)
    made.thoughts = (thought(number),)
    return made


def steps(taken: Frame) -> list[int]:
    return [thought.step for thought in taken.thoughts]


def test_a_full_queue_drops_its_oldest_frame_and_counts_it():
    queue = FrameQueue()
    dropped = [queue.put(frame(number)) for number in range(QUEUED_FRAMES + 2)]
    assert dropped == [False] * QUEUED_FRAMES + [True] * 2
    assert queue.dropped == 2
    assert [queue.take().captured_at for _ in range(len(queue))] == [2, 3, 4, 5]
    assert not queue


def test_the_thoughts_of_a_dropped_frame_go_to_the_next_one():
    queue = FrameQueue()
    for number in range(QUEUED_FRAMES + 3):
        queue.put(frame(number))
    assert steps(queue.take()) == [0, 1, 2, 3]
    assert steps(queue.take()) == [4]


def test_inherited_thoughts_are_bounded_and_the_newest_are_kept():
    queue = FrameQueue()
    for number in range(2 * QUEUED_THOUGHTS):
        queue.put(frame(number))
    inherited = steps(queue.take())
    assert len(inherited) == QUEUED_THOUGHTS
    assert inherited[-1] == 2 * QUEUED_THOUGHTS - QUEUED_FRAMES


def test_a_frame_is_repeated_at_its_times_without_its_thoughts():
    queue = FrameQueue()
    assert queue.due_at() == inf
    queue.put(frame(0), repeat_at=(1.0, 2.0))
    assert queue.due_at() == -inf
    taken = queue.take()
    assert queue.due_at() == 1.0
    first = queue.repeat()
    assert queue.due_at() == 2.0
    second = queue.repeat()
    assert [each.captured_at for each in (taken, first, second)] == [0, 1, 2]
    assert first.pixels is second.pixels is taken.pixels
    assert first.thoughts == second.thoughts == ()
    assert queue.due_at() == inf


def test_a_newer_frame_ends_the_repeats_and_is_later_than_they_were():
    queue = FrameQueue()
    queue.put(frame(0), repeat_at=(1.5, 3.0))
    queue.take()
    repeated = queue.repeat()
    queue.put(frame(1))
    newer = queue.take()
    assert newer.captured_at > repeated.captured_at
    assert queue.due_at() == inf


def test_clearing_counts_nothing_as_dropped():
    queue = FrameQueue()
    queue.put(frame(0), repeat_at=(1.0,))
    queue.take()
    queue.put(frame(1))
    queue.clear()
    assert (len(queue), queue.dropped, queue.due_at()) == (0, 0, inf)
