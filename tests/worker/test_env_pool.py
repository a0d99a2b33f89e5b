"""The games of a worker, and their threads."""

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

import psutil
import pytest

from metabonk.errors import GameError
from metabonk.games.remote import GameProcess
from metabonk.policy.env_runner import EnvRunner
from metabonk.system import shared_memory
from metabonk.worker import env_pool
from metabonk.worker.env_pool import MEASURED_S, MEASURED_STEPS, EnvPool, measure_step_s
from tests.support.waiting import until
from tests.support.worker_stand_ins import LeftActor, SteppingGame


def runner(
    number: int, process: GameProcess | None = None, *, in_process: bool = False
) -> EnvRunner:
    made = EnvRunner(SteppingGame(in_process=in_process), number, None, seeds=itertools.count())
    made.reset()
    return made


class Opening:
    """Opens pools, and closes them in the end."""

    def __init__(self, thread: Executor, closing: contextlib.ExitStack) -> None:
        self._thread = thread
        self._closing = closing

    def __call__(
        self,
        count: int,
        open_runner: Callable[[int, GameProcess | None], EnvRunner] = runner,
        may_open: Callable[[], bool] = lambda: True,
        processes: int = 0,
    ) -> EnvPool:
        first = self._thread.submit(open_runner, 0, None).result()
        pool = EnvPool(first, self._thread, open_runner, count, processes)
        self._closing.callback(pool.close)
        pool.start(may_open)
        return pool


@pytest.fixture
def opening() -> Iterator[Opening]:
    with ThreadPoolExecutor(1, "first") as thread, contextlib.ExitStack() as closing:
        yield Opening(thread, closing)


@pytest.fixture(autouse=True)
def _plenty_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "LIVE_GAME_RESERVE", 0)


def test_the_shown_game_is_there_at_once_and_the_others_follow(opening: Opening):
    gate = threading.Event()

    def slowly(number: int, process: GameProcess | None) -> EnvRunner:
        if number:
            gate.wait(20)
        return runner(number)

    pool = opening(3, slowly)
    assert [each.number for each in pool.all()] == [0]
    assert pool.others() == ()
    gate.set()
    until("all are open", lambda: len(pool.all()) == 3)
    assert [each.number for each in pool.others()] == [1, 2]


def test_closing_ends_all_games_even_one_that_is_being_opened(opening: Opening):
    gate, began = threading.Event(), threading.Event()
    opened: list[EnvRunner] = []

    def slowly(number: int, process: GameProcess | None) -> EnvRunner:
        if number:
            began.set()
            gate.wait(20)
        opened.append(runner(number))
        return opened[-1]

    pool = opening(9, slowly)
    assert began.wait(20)

    def finish_opening_once_closing() -> None:
        assert pool._closed.wait(20)
        gate.set()

    finishing = threading.Thread(target=finish_opening_once_closing)
    finishing.start()
    pool.close()
    finishing.join()
    assert len(opened) == 2
    assert all(each.game.closed for each in opened)  # type: ignore[attr-defined]


def test_a_game_that_cannot_be_opened_is_logged_and_the_others_run(
    opening: Opening,
    caplog: pytest.LogCaptureFixture,
):
    def fail_at_two(number: int, process: GameProcess | None) -> EnvRunner:
        if number == 2:
            raise GameError("no engine today")
        return runner(number)

    pool = opening(4, fail_at_two)
    with caplog.at_level(logging.WARNING):
        until("it is logged", lambda: caplog.records)
    assert "2 games instead of 4" in caplog.text and "no engine today" in caplog.text
    assert [each.number for each in pool.all()] == [0, 1]


def test_shared_memory_is_reserved_for_games_that_are_shown(
    opening: Opening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(shared_memory, "LIVE_GAME_RESERVE", 1 << 60)
    pool = opening(4)
    until("it is logged", lambda: caplog.records)
    assert "--shm-size" in caplog.text
    assert len(pool.all()) == 1


def test_no_game_opens_while_it_would_slow_down_the_shown_one(opening: Opening):
    allowed = threading.Event()
    pool = opening(3, may_open=allowed.is_set)
    assert pool.others() == ()
    allowed.set()
    until("all are open", lambda: len(pool.all()) == 3)


def test_games_that_may_not_open_do_not_delay_closing(opening: Opening):
    pool = opening(3, may_open=lambda: False)
    pool.close()
    assert len(pool.all()) == 1


def test_any_thread_may_call_an_engine(opening: Opening):
    pool = opening(2)
    until("both are open", pool.others)
    assert [pool.thread_of(each) for each in pool.all()] == [None, None]


def test_games_of_this_process_are_opened_and_closed_on_their_threads(opening: Opening):
    in_process = partial(runner, in_process=True)
    pool = opening(3, in_process)
    until("all are open", lambda: len(pool.all()) == 3)
    first, *others = pool.all()
    assert pool.thread_of(first) is pool.first_thread
    assert {pool.thread_of(each) for each in others} == {pool.thread_of(others[0])}
    assert pool.thread_of(others[0]) is not pool.first_thread
    pool.close()
    threads = [each.game.called_on for each in pool.all()]  # type: ignore[attr-defined]
    assert threads == [{"first_0"}, {"games_0"}, {"games_0"}]


def test_games_of_processes_are_spread_over_them_two_at_a_time(opening: Opening):
    opened: dict[int, tuple[int, int]] = {}

    def note(number: int, process: GameProcess | None) -> EnvRunner:
        if process is not None:
            opened[number] = process.pid, threading.get_ident()
        return runner(number, in_process=True)

    pool = opening(6, note, processes=2)
    until("all are open", lambda: len(pool.all()) == 6)
    assert not pool.shares_lock
    assert opened[1] == opened[2] == opened[5] and opened[3] == opened[4] != opened[1]
    assert {pool.thread_of(each) for each in pool.others()} == {None}
    assert pool.thread_of(pool.first) is pool.first_thread
    pool.close()
    assert not any(psutil.pid_exists(pid) for pid, _ in opened.values())


def test_the_duration_of_a_step_is_the_median(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(env_pool, "MEASURED_S", 60)
    slow = iter([0.02, *[0.0] * MEASURED_STEPS])
    game = SteppingGame(on_step=lambda: time.sleep(next(slow)))
    assert 0 < measure_step_s(game, LeftActor()) < 0.02  # type: ignore[arg-type]
    assert game.steps == MEASURED_STEPS


def test_a_slow_game_is_not_measured_for_long():
    game = SteppingGame(on_step=lambda: time.sleep(MEASURED_S))
    assert measure_step_s(game, LeftActor()) >= MEASURED_S  # type: ignore[arg-type]
    assert game.steps == 1
