"""Steps and episodes of one worker."""

import threading

from metabonk.messages.base import Loop
from metabonk.messages.workers import Counters
from metabonk.worker.progress import LoopTurns, Progress
from tests.support.waiting import until


def test_it_continues_where_the_workers_earlier_processes_stopped():
    progress = Progress(3, Counters(step=100, episode=7))
    assert progress.counters() == (100, 7)
    assert progress.episode_return is None
    for _ in range(5):
        progress.count_step()
    episode = progress.finish_episode(2.5, 5, policy_version=4)
    assert progress.counters() == (105, 8)
    assert (episode.worker_index, episode.episode, episode.step) == (3, 8, 105)
    assert (episode.total_reward, episode.length, episode.policy_version) == (2.5, 5, 4)
    assert progress.episode_return == 2.5


def test_a_rate_that_is_restarted_leaves_the_counters():
    progress = Progress(0, Counters())
    for _ in range(50):
        progress.count_step()
    assert progress.steps_per_s() > 0
    progress.restart_rate()
    assert progress.steps_per_s() == 0
    assert progress.counters().step == 50


def test_episodes_of_several_threads_have_numbers_of_their_own():
    progress = Progress(0, Counters())
    numbers: list[int] = []

    def play() -> None:
        for _ in range(200):
            progress.count_step()
            numbers.append(progress.finish_episode(0.0, 1, policy_version=0).episode)

    threads = [threading.Thread(target=play) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 801))
    assert progress.counters() == (800, 800)


def test_a_loop_of_several_threads_turns_as_long_as_all_of_them_do():
    turns = LoopTurns()
    hangs = threading.Event()

    def turn(times: int) -> None:
        for _ in range(times):
            turns.count(Loop.BACKGROUND)

    with turns.running(Loop.BACKGROUND):
        other = threading.Thread(target=lambda: (turn(2), hangs.wait(20)))
        other.start()
        until("it has turned", lambda: turns.of_running() == {Loop.BACKGROUND: 2})
        turn(5)
        assert turns.of_running() == {Loop.BACKGROUND: 2}
        hangs.set()
        other.join()
    assert turns.of_running() == {}
    with turns.running(Loop.BACKGROUND):
        turn(1)
        assert turns.of_running() == {Loop.BACKGROUND: 3}
