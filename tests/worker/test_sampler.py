"""Games that nobody watches."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from metabonk.errors import GameError
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.worker import sampler as lanes_module
from metabonk.worker.sampler import DoubleBufferedSampler, EnvPool
from tests.support.waiting import until
from tests.support.worker_stand_ins import Deciding, Stepping


class Played:
    """Rounds over some games, counted."""

    def __init__(self, threads: int, parts: int = 2) -> None:
        self.actor = Deciding()
        self.lived: list[int] = []
        self.lanes: list[EnvRunner] = []
        self.rounds = DoubleBufferedSampler(
            self.actor,  # type: ignore[arg-type]
            self._count,
            parts=parts,
            threads=threads,
        )

    def _count(self, lane: EnvRunner, lived: StepResult) -> None:
        self.lived.append(lane.number)

    def add(self, game: Stepping) -> None:
        lane = EnvRunner(game, len(self.lanes), None)
        lane.begin()
        self.lanes.append(lane)

    def play(self, turns: int, each_turn: Callable[[int], None] = lambda turn: None) -> None:
        asked = iter(range(turns + 1))

        def keep_running() -> bool:
            turn = next(asked)
            each_turn(turn)
            return turn < turns

        self.rounds.play(lambda: tuple(self.lanes), keep_running)


@pytest.fixture(params=[1, 3])
def played(request: pytest.FixtureRequest) -> Iterator[Played]:
    played = Played(request.param)
    yield played
    played.rounds.close()


def test_the_policy_decides_for_half_of_the_games_in_one_pass(played: Played):
    games = [Stepping() for _ in range(5)]
    for game in games:
        played.add(game)
    played.play(turns=6)
    assert played.actor.batches == [(0, 2, 4), (1, 3)] * 3
    assert [game.steps for game in games] == [3] * 5
    assert sorted(played.lived) == sorted([0, 1, 2, 3, 4] * 3)


def test_in_one_part_the_policy_decides_for_all_of_them():
    played = Played(threads=3, parts=1)
    for _ in range(5):
        played.add(Stepping())
    with contextlib.closing(played.rounds):
        played.play(turns=3)
    assert played.actor.batches == [(0, 1, 2, 3, 4)] * 3
    assert sorted(played.lived) == sorted([0, 1, 2, 3, 4] * 3)


def test_one_half_moves_while_the_policy_decides_for_the_other(played: Played):
    decided = threading.Event()
    act = played.actor.act

    def noting(observations: list, games: list[int]) -> list:  # type: ignore[type-arg]
        if 1 in games:
            decided.set()
        return act(observations, games)

    played.actor.act = noting  # type: ignore[method-assign, assignment]
    overlapped: list[bool] = []
    played.add(Stepping(on_step=lambda: overlapped.append(decided.wait(5))))
    played.add(Stepping())
    played.play(turns=2)
    assert overlapped == [True]


def test_one_game_alone_is_played_on_the_thread_itself(played: Played):
    game = Stepping()
    played.add(game)
    played.play(turns=6)
    assert game.threads == {threading.current_thread().name}
    assert game.steps == 3


def test_games_that_open_later_are_played_from_the_next_turn_on(played: Played):
    played.add(Stepping())
    played.add(Stepping())

    def open_another(turn: int) -> None:
        if turn == 2:
            played.add(Stepping())

    played.play(6, open_another)
    assert played.actor.batches == [(0,), (1,), (0, 2), (1,), (0, 2), (1,)]


def test_every_game_stands_still_when_it_is_over(played: Played):
    gate = threading.Event()
    games = [Stepping(on_step=lambda: gate.wait(5)) for _ in range(4)]
    for game in games:
        played.add(game)
    opener = threading.Timer(0.05, gate.set)
    opener.start()
    played.play(turns=2)
    opener.join()
    assert [game.steps for game in games] == [1] * 4
    assert sorted(played.lived) == [0, 1, 2, 3]


def test_a_game_that_breaks_is_told_once_the_others_stand_still(played: Played):
    def broken() -> None:
        raise GameError("the engine is gone")

    games = [Stepping(on_step=broken), Stepping(), Stepping(), Stepping()]
    for game in games:
        played.add(game)
    with pytest.raises(GameError, match="engine is gone"):
        played.play(turns=4)
    assert [game.steps for game in games] == [0, 1, 1, 1]


def lane(number: int) -> EnvRunner:
    made = EnvRunner(Stepping(), number, None)
    made.begin()
    return made


def opening(count: int, open_lane: Callable[[int], EnvRunner] = lane) -> EnvPool:
    made = EnvPool(lane(0), open_lane, count)
    made.start()
    return made


@pytest.fixture(autouse=True)
def _plenty_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "RESERVE", 0)


def test_the_shown_game_is_there_at_once_and_the_others_come():
    gate = threading.Event()

    def slowly(number: int) -> EnvRunner:
        gate.wait(5)
        return lane(number)

    lanes = opening(3, slowly)
    assert [each.number for each in lanes.all()] == [0]
    assert lanes.others() == ()
    gate.set()
    until("all are open", lambda: len(lanes.all()) == 3)
    assert [each.number for each in lanes.others()] == [1, 2]
    lanes.close()


def test_all_games_end_also_one_that_was_just_being_opened():
    gate, began = threading.Event(), threading.Event()
    opened: list[EnvRunner] = []

    def slowly(number: int) -> EnvRunner:
        began.set()
        gate.wait(5)
        opened.append(lane(number))
        return opened[-1]

    lanes = opening(9, slowly)
    began.wait(5)
    threading.Timer(0.05, gate.set).start()
    lanes.close()
    assert len(opened) == 1
    assert all(each.game.closed for each in (lanes.first, *opened))  # type: ignore[attr-defined]


def test_a_game_that_cannot_be_opened_is_said_and_the_others_are_played(
    caplog: pytest.LogCaptureFixture,
):
    def fail_at_two(number: int) -> EnvRunner:
        if number == 2:
            raise GameError("no engine today")
        return lane(number)

    lanes = opening(4, fail_at_two)
    with caplog.at_level(logging.WARNING):
        until("it is said", lambda: caplog.records)
    assert "2 games instead of 4" in caplog.text and "no engine today" in caplog.text
    assert [each.number for each in lanes.all()] == [0, 1]
    lanes.close()


def test_shared_memory_is_left_for_games_that_are_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(lanes_module, "RESERVE", 1 << 60)
    lanes = opening(4)
    until("it is said", lambda: caplog.records)
    assert "--shm-size" in caplog.text
    assert len(lanes.all()) == 1
    lanes.close()


def test_no_game_opens_while_it_would_take_from_one_that_is_shown():
    allowed = threading.Event()
    lanes = EnvPool(lane(0), lane, 3)
    lanes.start(allowed.is_set)
    assert lanes.others() == ()
    allowed.set()
    until("all are open", lambda: len(lanes.all()) == 3)
    lanes.close()


def test_games_that_may_not_open_do_not_hold_up_the_end():
    lanes = EnvPool(lane(0), lane, 3)
    lanes.start(lambda: False)
    lanes.close()
    assert len(lanes.all()) == 1
