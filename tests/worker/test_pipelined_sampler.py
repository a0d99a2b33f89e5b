"""Games that nobody watches, and that another process decides for."""

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from metabonk.errors import GameError
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.worker.pipelined_sampler import PARTS, Decisions, PipelinedSampler
from tests.support.waiting import until
from tests.support.worker_stand_ins import ElsewhereGame, SteppingGame, decision


class Sampling:
    """A sampler over some games, what it has asked for, and the steps it has taken."""

    def __init__(self, threads: int) -> None:
        self.asked: list[tuple[int, tuple[int, ...]]] = []
        self.on_answer: Callable[[Sequence[int]], None] = lambda games: None
        self.stepped: list[int] = []
        self.runners: list[EnvRunner] = []
        self.sampler = PipelinedSampler(self._ask, EnvRunner.step, self._count, threads=threads)

    def _ask(self, lane: int, observations: Sequence[Any], games: Sequence[int]) -> Decisions:
        assert len(observations) == len(games) > 0
        self.asked.append((lane, tuple(games)))

        def answer() -> list[Any]:
            self.on_answer(games)
            return [decision() for _ in games]

        return answer

    def _count(self, runner: EnvRunner, result: StepResult) -> None:
        self.stepped.append(runner.number)

    def add(self, game: SteppingGame) -> SteppingGame:
        runner = EnvRunner(game, len(self.runners), None, seeds=itertools.count())
        runner.reset()
        self.runners.append(runner)
        return game

    def run_while(self, keep_running: Callable[[], bool]) -> None:
        self.sampler.run(lambda: tuple(self.runners), keep_running)


@pytest.fixture(params=[1, 2])
def sampling(request: pytest.FixtureRequest) -> Iterator[Sampling]:
    sampling = Sampling(request.param)
    with contextlib.closing(sampling.sampler):
        yield sampling


def test_each_thread_asks_for_half_of_its_games_at_a_time():
    sampling = Sampling(threads=2)
    games = [sampling.add(SteppingGame()) for _ in range(6)]
    with contextlib.closing(sampling.sampler):
        sampling.run_while(lambda: min(game.steps for game in games) < 2)
    first, second = ([each for each in sampling.asked if each[0] // PARTS == t] for t in (0, 1))
    assert first[:4] == [(0, (0, 4)), (1, (2,)), (0, (0, 4)), (1, (2,))]
    assert second[:4] == [(2, (1, 5)), (3, (3,)), (2, (1, 5)), (3, (3,))]
    assert Counter(sampling.stepped) == {n: game.steps for n, game in enumerate(games)}
    assert games[0].threads == games[2].threads == games[4].threads != games[1].threads


def test_one_half_moves_while_the_server_decides_for_the_other():
    sampling = Sampling(threads=1)
    order: list[str] = []
    for number in range(2):
        sampling.add(SteppingGame(on_step=lambda number=number: order.append(f"{number} moves")))
    sampling.on_answer = lambda games: order.append(f"{games[0]} answered")
    asked = sampling.asked
    with contextlib.closing(sampling.sampler):
        sampling.run_while(lambda: not sampling.stepped)
    # Game 1 was asked for before game 0 moved, and is answered after that.
    assert asked[:2] == [(0, (0,)), (1, (1,))]
    assert order == ["0 answered", "0 moves"]


def test_a_single_game_runs_on_the_calling_thread(sampling: Sampling):
    game = sampling.add(SteppingGame())
    sampling.run_while(lambda: game.steps < 3)
    assert game.threads == {threading.current_thread().name}
    assert game.steps == 3


def test_games_that_open_later_run_too(sampling: Sampling):
    first = sampling.add(SteppingGame())
    later: list[SteppingGame] = []

    def keep_running() -> bool:
        if first.steps == 2 and not later:
            later.extend(sampling.add(SteppingGame()) for _ in range(3))
        return not later or min(game.steps for game in later) < 2

    sampling.run_while(keep_running)
    assert all(game.steps >= 2 for game in later)


def test_what_was_asked_for_before_it_stopped_is_not_stepped(sampling: Sampling):
    games = [sampling.add(SteppingGame()) for _ in range(4)]
    sampling.run_while(lambda: not sampling.asked)
    assert [game.steps for game in games] == [0] * 4


def test_games_that_move_elsewhere_do_so_while_the_server_decides_for_the_others():
    sampling = Sampling(threads=1)
    order: list[str] = []
    for number in range(4):
        sampling.add(
            ElsewhereGame(
                on_begin=lambda number=number: order.append(f"{number} begins"),
                on_step=lambda number=number: order.append(f"{number} ends"),
            )
        )
    sampling.on_answer = lambda games: order.append(f"{games[0]} answered")
    with contextlib.closing(sampling.sampler):
        sampling.run_while(lambda: len(sampling.stepped) < 4)
    assert order == [
        *("0 answered", "0 begins", "2 begins"),
        *("1 answered", "1 begins", "3 begins", "0 ends", "2 ends"),
        *("0 answered", "0 begins", "2 begins", "1 ends", "3 ends"),
        *("0 ends", "2 ends"),
    ]


def test_a_game_that_breaks_ends_all_threads_and_is_raised():
    def broken() -> None:
        raise GameError("the engine is gone")

    sampling = Sampling(threads=3)
    for on_step in (lambda: None, broken, lambda: None):
        sampling.add(SteppingGame(on_step=on_step))
    with (
        contextlib.closing(sampling.sampler),
        pytest.raises(GameError, match="engine is gone"),
    ):
        sampling.run_while(lambda: True)


def test_no_game_is_moving_when_it_returns():
    sampling = Sampling(threads=2)
    gate, moving, stopped = threading.Event(), threading.Event(), threading.Event()

    def wait_at_gate() -> None:
        moving.set()
        assert gate.wait(20)

    sampling.add(SteppingGame())
    slow = sampling.add(SteppingGame(on_step=wait_at_gate))
    runs = threading.Thread(target=sampling.run_while, args=[lambda: not stopped.is_set()])
    with contextlib.closing(sampling.sampler):
        runs.start()
        assert moving.wait(20)
        stopped.set()
        runs.join(0.2)
        assert runs.is_alive() and slow.steps == 0
        gate.set()
        until("it returns", lambda: not runs.is_alive())
    assert slow.steps == 1
