"""The queue of rollouts, and what it takes."""

import threading
import time

import torch

from metabonk.learner.rollouts import RolloutQueue, receive_rollout
from tests.support.rollouts import make_rollout
from tests.support.specs import OTHER_GAME, TINY
from tests.support.waiting import GENEROUS_S

CPU = torch.device("cpu")


def test_the_oldest_rollouts_are_taken_first_until_there_are_enough_steps():
    queue = RolloutQueue(100)
    rollouts = [make_rollout(4, seed=seed) for seed in range(4)]
    assert all(queue.put(rollout) for rollout in rollouts)
    assert queue.take(6, 0) == rollouts[:2]
    assert queue.steps == 8


def test_nothing_is_taken_while_there_are_too_few_steps():
    queue = RolloutQueue(100)
    queue.put(make_rollout(4))
    assert queue.take(5, 0.01) == []
    assert queue.steps == 4


def test_a_full_queue_rejects_rollouts_until_some_are_taken():
    queue = RolloutQueue(8)
    assert queue.put(make_rollout(4))
    assert queue.put(make_rollout(4))
    assert not queue.put(make_rollout(1))
    queue.take(1, 0)
    assert queue.put(make_rollout(4))


def test_a_waiting_rollout_is_queued_as_soon_as_there_is_room():
    queue = RolloutQueue(4)
    queue.put(make_rollout(4, seed=1))
    late = make_rollout(4, seed=2)
    sender = threading.Thread(target=queue.put, args=(late, GENEROUS_S))
    sender.start()
    queue.take(1, 0)
    assert queue.take(1, GENEROUS_S) == [late]
    sender.join()


def test_a_rollout_larger_than_the_queue_still_fits_when_it_is_empty():
    queue = RolloutQueue(2)
    assert queue.put(make_rollout(4))
    assert not queue.put(make_rollout(1))


def test_take_waits_until_there_are_enough_steps():
    queue = RolloutQueue(100)
    sender = threading.Thread(target=lambda: [queue.put(make_rollout(4)) for _ in range(3)])
    sender.start()
    assert len(queue.take(12, GENEROUS_S)) == 3
    sender.join()


def test_take_gives_up_at_its_timeout():
    began = time.monotonic()
    assert RolloutQueue(8).take(1, 0.05) == []
    assert time.monotonic() - began > 0.04


def test_a_rollout_is_queued_and_one_that_is_none_is_refused():
    queue = RolloutQueue(8)
    assert receive_rollout(make_rollout(4).to_bytes(), TINY, queue, CPU, 0) is None
    malformed = receive_rollout(b"nonsense", TINY, queue, CPU, 0)
    foreign = receive_rollout(make_rollout(4).to_bytes(), OTHER_GAME, queue, CPU, 0)
    assert malformed is not None and malformed.status == 400
    assert foreign is not None and foreign.status == 409
    assert queue.steps == 4
