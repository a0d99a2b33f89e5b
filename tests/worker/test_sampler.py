"""Games that nobody watches."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from metabonk.errors import GameError
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.worker.sampler import DoubleBufferedSampler
from tests.support.worker_stand_ins import ElsewhereGame, LeftActor, SteppingGame


class Sampling:
    """A sampler over some games, and the steps it has taken."""

    def __init__(self, threads: int, parts: int = 2) -> None:
        self.bound: dict[int, Executor] = {}
        self.actor = LeftActor()
        self.stepped: list[int] = []
        self.runners: list[EnvRunner] = []
        self.sampler = DoubleBufferedSampler(
            lambda observations, games: self.actor.act(observations, games),
            EnvRunner.step,
            self._count,
            self.thread_of,
            parts=parts,
            threads=threads,
        )

    def thread_of(self, runner: EnvRunner) -> Executor | None:
        return self.bound.get(runner.number)

    def _count(self, runner: EnvRunner, result: StepResult) -> None:
        self.stepped.append(runner.number)

    def add(self, game: SteppingGame) -> None:
        runner = EnvRunner(game, len(self.runners), None, seeds=itertools.count())
        runner.reset()
        self.runners.append(runner)

    def run(self, turns: int, each_turn: Callable[[int], None] = lambda turn: None) -> None:
        asked = iter(range(turns + 1))

        def keep_running() -> bool:
            turn = next(asked)
            each_turn(turn)
            return turn < turns

        self.sampler.run(lambda: tuple(self.runners), keep_running)


@pytest.fixture(params=[1, 3])
def sampling(request: pytest.FixtureRequest) -> Iterator[Sampling]:
    sampling = Sampling(request.param)
    yield sampling
    sampling.sampler.close()


def test_the_policy_decides_for_half_of_the_games_in_one_pass(sampling: Sampling):
    games = [SteppingGame() for _ in range(5)]
    for game in games:
        sampling.add(game)
    sampling.run(turns=6)
    assert sampling.actor.batches == [(0, 2, 4), (1, 3)] * 3
    assert [game.steps for game in games] == [3] * 5
    assert sorted(sampling.stepped) == sorted([0, 1, 2, 3, 4] * 3)


def test_in_one_part_the_policy_decides_for_all_games_at_once():
    sampling = Sampling(threads=3, parts=1)
    for _ in range(5):
        sampling.add(SteppingGame())
    with contextlib.closing(sampling.sampler):
        sampling.run(turns=3)
    assert sampling.actor.batches == [(0, 1, 2, 3, 4)] * 3
    assert sorted(sampling.stepped) == sorted([0, 1, 2, 3, 4] * 3)


def test_one_half_moves_while_the_policy_decides_for_the_other(sampling: Sampling):
    decided = threading.Event()
    act = sampling.actor.act

    def noting(observations: list, games: list[int]) -> list:  # type: ignore[type-arg]
        if 1 in games:
            decided.set()
        return act(observations, games)

    sampling.actor.act = noting  # type: ignore[method-assign, assignment]
    overlapped: list[bool] = []
    sampling.add(SteppingGame(on_step=lambda: overlapped.append(decided.wait(20))))
    sampling.add(SteppingGame())
    sampling.run(turns=2)
    assert overlapped == [True]


def test_a_single_game_runs_on_the_calling_thread(sampling: Sampling):
    game = SteppingGame()
    sampling.add(game)
    sampling.run(turns=6)
    assert game.threads == {threading.current_thread().name}
    assert game.steps == 3


@pytest.mark.parametrize("count", [1, 4])
def test_games_bound_to_a_thread_move_on_it_one_after_another(sampling: Sampling, count: int):
    games = [SteppingGame() for _ in range(count)]
    with ThreadPoolExecutor(1, "bound") as bound:
        for number, game in enumerate(games):
            sampling.add(game)
            sampling.bound[number] = bound
        sampling.run(turns=6)
    assert set().union(*(game.threads for game in games)) == {"bound_0"}
    assert [game.steps for game in games] == [3] * count
    assert sorted(sampling.stepped) == sorted(3 * [*range(count)])


def test_games_that_move_elsewhere_begin_all_at_once_and_need_no_thread(sampling: Sampling):
    games = [ElsewhereGame() for _ in range(4)]
    for game in games:
        sampling.add(game)
    begun: list[tuple[int, int]] = []
    sampling.run(4, lambda _: begun.append((sum(g.begun for g in games), len(sampling.stepped))))
    assert begun == [(0, 0), (2, 0), (4, 0), (6, 2), (8, 4)]
    assert sampling.stepped == [0, 2, 1, 3, 0, 2, 1, 3]
    assert set().union(*(game.threads for game in games)) == {threading.current_thread().name}


def test_games_that_open_later_run_from_the_next_turn_on(sampling: Sampling):
    sampling.add(SteppingGame())
    sampling.add(SteppingGame())

    def open_another(turn: int) -> None:
        if turn == 2:
            sampling.add(SteppingGame())

    sampling.run(6, open_another)
    assert sampling.actor.batches == [(0,), (1,), (0, 2), (1,), (0, 2), (1,)]


def test_no_game_is_moving_when_it_returns(sampling: Sampling):
    gate = threading.Event()
    games = [SteppingGame(on_step=lambda: gate.wait(20)) for _ in range(4)]
    for game in games:
        sampling.add(game)
    opener = threading.Timer(0.05, gate.set)
    opener.start()
    sampling.run(turns=2)
    opener.join()
    assert [game.steps for game in games] == [1] * 4
    assert sorted(sampling.stepped) == [0, 1, 2, 3]


def test_a_game_that_breaks_is_raised_once_the_others_have_stopped_moving(sampling: Sampling):
    def broken() -> None:
        raise GameError("the engine is gone")

    games = [SteppingGame(on_step=broken), SteppingGame(), SteppingGame(), SteppingGame()]
    for game in games:
        sampling.add(game)
    with pytest.raises(GameError, match="engine is gone"):
        sampling.run(turns=4)
    # Those after it in its thread's share have not moved.
    assert [game.steps for game in games[::2]] in ([0, 0], [0, 1])
    assert [game.steps for game in games[1::2]] == [1, 1]
