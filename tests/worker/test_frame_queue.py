"""The queue in front of the encoder."""

import numpy as np

from metabonk.frame import Frame
from metabonk.messages import Thought
from metabonk.worker.frame_queue import QUEUED_FRAMES, QUEUED_THOUGHTS, FrameQueue

PIXELS = np.zeros((2, 2, 3), np.uint8)


def frame(number: int) -> Frame:
    """A frame with a thought of its number."""
    made = Frame(PIXELS, number)
    made.thoughts = (
        Thought(
            action=0,
            probabilities=[],
            value=0,
            reward=0,
            episode_return=0,
            episode=1,
            step=number,
            decided_at=0,
        ),
    )
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


def test_clearing_counts_nothing_as_dropped():
    queue = FrameQueue()
    queue.put(frame(0))
    queue.clear()
    assert (len(queue), queue.dropped) == (0, 0)
