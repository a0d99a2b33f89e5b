"""Games open one after the other."""

import logging
import threading
from collections.abc import Callable

import pytest

from metabonk.errors import GameError
from metabonk.worker import lanes as lanes_module
from metabonk.worker.lane import Lane
from metabonk.worker.lanes import Lanes
from tests.worker.stand_ins import Stepping, until


def lane(number: int) -> Lane:
    made = Lane(Stepping(), number, None)
    made.begin()
    return made


def opening(count: int, open_lane: Callable[[int], Lane] = lane) -> Lanes:
    made = Lanes(lane(0), open_lane, count)
    made.start()
    return made


@pytest.fixture(autouse=True)
def _plenty_of_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "RESERVE", 0)


def test_the_shown_game_is_there_at_once_and_the_others_come():
    gate = threading.Event()

    def slowly(number: int) -> Lane:
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
    opened: list[Lane] = []

    def slowly(number: int) -> Lane:
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
    def fail_at_two(number: int) -> Lane:
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
    lanes = Lanes(lane(0), lane, 3)
    lanes.start(allowed.is_set)
    assert lanes.others() == ()
    allowed.set()
    until("all are open", lambda: len(lanes.all()) == 3)
    lanes.close()


def test_games_that_may_not_open_do_not_hold_up_the_end():
    lanes = Lanes(lane(0), lane, 3)
    lanes.start(lambda: False)
    lanes.close()
    assert len(lanes.all()) == 1
