"""Rollouts that wait."""

import threading
import time

from metabonk.learner.queue import RolloutQueue
from tests.learner.rollouts import made_up


def test_the_oldest_come_out_first_and_as_many_as_it_takes():
    queue = RolloutQueue(100)
    rollouts = [made_up(4, seed=seed) for seed in range(4)]
    assert all(queue.put(rollout) for rollout in rollouts)
    assert queue.take(6, 0) == rollouts[:2]
    assert queue.steps == 8


def test_too_few_stay_queued():
    queue = RolloutQueue(100)
    queue.put(made_up(4))
    assert queue.take(5, 0.01) == []
    assert queue.steps == 4


def test_a_full_queue_refuses_until_something_is_taken():
    queue = RolloutQueue(8)
    assert queue.put(made_up(4))
    assert queue.put(made_up(4))
    assert not queue.put(made_up(1))
    queue.take(1, 0)
    assert queue.put(made_up(4))


def test_a_full_queue_takes_a_rollout_as_soon_as_there_is_room():
    queue = RolloutQueue(4)
    queue.put(made_up(4, seed=1))
    late = made_up(4, seed=2)
    sender = threading.Thread(target=queue.put, args=(late, 10.0))
    sender.start()
    queue.take(1, 0)
    assert queue.take(1, 5.0) == [late]
    sender.join()


def test_a_rollout_larger_than_the_queue_still_fits_when_it_is_empty():
    queue = RolloutQueue(2)
    assert queue.put(made_up(4))
    assert not queue.put(made_up(1))


def test_taking_waits_for_what_comes():
    queue = RolloutQueue(100)
    sender = threading.Thread(target=lambda: [queue.put(made_up(4)) for _ in range(3)])
    sender.start()
    assert len(queue.take(12, 5.0)) == 3
    sender.join()


def test_taking_gives_up_in_time():
    began = time.monotonic()
    assert RolloutQueue(8).take(1, 0.05) == []
    assert 0.04 < time.monotonic() - began < 2
