"""Games that nobody watches."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from metabonk.errors import GameError
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.system import shared_memory
from metabonk.worker.sampler import DoubleBufferedSampler, EnvPool
from tests.support.waiting import until
from tests.support.worker_stand_ins import LeftActor, SteppingGame


class Sampling:
    """A sampler over some games, and the steps it has taken."""

    def __init__(self, threads: int, parts: int = 2) -> None:
        self.actor = LeftActor()
        self.stepped: list[int] = []
        self.runners: list[EnvRunner] = []
        self.sampler = DoubleBufferedSampler(
            self.actor,  # type: ignore[arg-type]
            self._count,
            parts=parts,
            threads=threads,
        )

    def _count(self, runner: EnvRunner, result: StepResult) -> None:
        self.stepped.append(runner.number)

    def add(self, game: SteppingGame) -> None:
        runner = EnvRunner(game, len(self.runners), None)
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
    sampling.add(SteppingGame(on_step=lambda: overlapped.append(decided.wait(5))))
    sampling.add(SteppingGame())
    sampling.run(turns=2)
    assert overlapped == [True]


def test_a_single_game_runs_on_the_calling_thread(sampling: Sampling):
    game = SteppingGame()
    sampling.add(game)
    sampling.run(turns=6)
    assert game.threads == {threading.current_thread().name}
    assert game.steps == 3


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
    games = [SteppingGame(on_step=lambda: gate.wait(5)) for _ in range(4)]
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
    assert [game.steps for game in games] == [0, 1, 1, 1]


def runner(number: int) -> EnvRunner:
    made = EnvRunner(SteppingGame(), number, None)
    made.reset()
    return made


def opening(count: int, open_runner: Callable[[int], EnvRunner] = runner) -> EnvPool:
    made = EnvPool(runner(0), open_runner, count)
    made.start()
    return made


@pytest.fixture(autouse=True)
def _plenty_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "LIVE_GAME_RESERVE", 0)


def test_the_shown_game_is_there_at_once_and_the_others_follow():
    gate = threading.Event()

    def slowly(number: int) -> EnvRunner:
        gate.wait(5)
        return runner(number)

    pool = opening(3, slowly)
    assert [each.number for each in pool.all()] == [0]
    assert pool.others() == ()
    gate.set()
    until("all are open", lambda: len(pool.all()) == 3)
    assert [each.number for each in pool.others()] == [1, 2]
    pool.close()


def test_closing_ends_all_games_even_one_that_is_being_opened():
    gate, began = threading.Event(), threading.Event()
    opened: list[EnvRunner] = []

    def slowly(number: int) -> EnvRunner:
        began.set()
        gate.wait(5)
        opened.append(runner(number))
        return opened[-1]

    pool = opening(9, slowly)
    began.wait(5)
    threading.Timer(0.05, gate.set).start()
    pool.close()
    assert len(opened) == 1
    assert all(each.game.closed for each in (pool.first, *opened))  # type: ignore[attr-defined]


def test_a_game_that_cannot_be_opened_is_logged_and_the_others_run(
    caplog: pytest.LogCaptureFixture,
):
    def fail_at_two(number: int) -> EnvRunner:
        if number == 2:
            raise GameError("no engine today")
        return runner(number)

    pool = opening(4, fail_at_two)
    with caplog.at_level(logging.WARNING):
        until("it is logged", lambda: caplog.records)
    assert "2 games instead of 4" in caplog.text and "no engine today" in caplog.text
    assert [each.number for each in pool.all()] == [0, 1]
    pool.close()


def test_shared_memory_is_reserved_for_games_that_are_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(shared_memory, "LIVE_GAME_RESERVE", 1 << 60)
    pool = opening(4)
    until("it is logged", lambda: caplog.records)
    assert "--shm-size" in caplog.text
    assert len(pool.all()) == 1
    pool.close()


def test_no_game_opens_while_it_would_slow_down_the_shown_one():
    allowed = threading.Event()
    pool = EnvPool(runner(0), runner, 3)
    pool.start(allowed.is_set)
    assert pool.others() == ()
    allowed.set()
    until("all are open", lambda: len(pool.all()) == 3)
    pool.close()


def test_games_that_may_not_open_do_not_delay_closing():
    pool = EnvPool(runner(0), runner, 3)
    pool.start(lambda: False)
    pool.close()
    assert len(pool.all()) == 1
