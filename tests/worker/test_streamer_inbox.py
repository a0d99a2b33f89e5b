"""The queue in front of the encoder."""

import numpy as np

from metabonk.encoding.frame import Frame
from metabonk.messages import Thought
from metabonk.worker.streamer import QUEUED_FRAMES, QUEUED_THOUGHTS, FrameQueue

PIXELS = np.zeros((2, 2, 3), np.uint8)


def thought(step: int) -> Thought:
    return Thought(
        action=0,
        probabilities=[],
        value=0,
        reward=0,
        episode_return=0,
        episode=1,
        step=step,
        decided_at=0,
    )


def test_a_full_one_drops_its_oldest_frame_and_counts_it():
    inbox = FrameQueue()
    lost = [inbox.put(Frame(PIXELS, number), None) for number in range(QUEUED_FRAMES + 2)]
    assert lost == [False] * QUEUED_FRAMES + [True] * 2
    assert inbox.dropped == 2
    assert [inbox.take().captured_at for _ in range(len(inbox))] == [2, 3, 4, 5]
    assert not inbox


def test_thoughts_come_with_the_first_picture_after_them_also_those_of_dropped_frames():
    inbox = FrameQueue()
    for number in range(QUEUED_FRAMES + 3):
        inbox.put(Frame(PIXELS, number), thought(number))
    first = inbox.take().captured_at
    assert [each.step for each in inbox.thoughts_until(first)] == [0, 1, 2, 3]
    assert [each.step for each in inbox.thoughts_until(first)] == []
    assert [each.step for each in inbox.thoughts_until(100)] == [4, 5, 6]


def test_thoughts_that_no_picture_comes_for_are_bounded():
    inbox = FrameQueue()
    for number in range(2 * QUEUED_THOUGHTS):
        inbox.put(Frame(PIXELS, number), thought(number))
    assert len(inbox.thoughts_until(10**9)) == QUEUED_THOUGHTS


def test_clearing_drops_nothing_that_counts():
    inbox = FrameQueue()
    inbox.put(Frame(PIXELS, 0), None)
    inbox.clear()
    assert (len(inbox), inbox.dropped) == (0, 0)
