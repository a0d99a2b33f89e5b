"""Episodes that wait."""

from metabonk.runs.episode_queue import EpisodeQueue
from tests.support.statuses import episode


def numbers(queue: EpisodeQueue) -> list[int]:
    return [each.episode for each in queue.all()]


def test_episodes_stay_in_order_until_they_are_removed():
    queue = EpisodeQueue(10, 1000)
    queue.extend(map(episode, range(5)))
    first = queue.oldest(3, 1000)
    assert [each.episode for each in first] == [0, 1, 2]
    assert len(queue) == 5
    queue.extend([episode(5)])
    queue.remove(first)
    queue.remove(first)
    assert numbers(queue) == [3, 4, 5]


def test_of_too_many_episodes_the_oldest_are_dropped_and_counted():
    queue = EpisodeQueue(3, 1000)
    queue.extend(map(episode, range(3)))
    first = queue.oldest(3, 1000)
    queue.extend(map(episode, range(3, 5)))
    assert numbers(queue) == [2, 3, 4]
    assert queue.lost == 2
    queue.remove(first)
    assert numbers(queue) == [3, 4], "of those taken, one was left"


def test_logs_are_given_up_before_episodes():
    queue = EpisodeQueue(100, 1000)
    queue.extend(episode(number, log=bytes(400)) for number in range(4))
    assert [each.log is not None for each in queue.all()] == [True, True, False, False]
    queue.remove(queue.oldest(1, 1000))
    queue.extend([episode(4, log=bytes(400))])
    assert [each.log is not None for each in queue.all()] == [True, False, False, True]


def test_the_bytes_taken_at_once_are_bounded_but_something_is_taken():
    queue = EpisodeQueue(100, 10_000)
    queue.extend(episode(number, log=bytes(400)) for number in range(4))
    assert len(queue.oldest(100, 1000)) == 2
    assert len(queue.oldest(100, 10)) == 1
    assert EpisodeQueue(1, 1).oldest(1, 1) == []
