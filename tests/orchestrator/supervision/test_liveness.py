"""Which children hang: time is a number, usage is made up."""

import pytest

from metabonk.messages.base import Loop
from metabonk.orchestrator.supervision.liveness import (
    HUNG_AFTER_S,
    NOT_STARTED_AFTER_S,
    PATIENCE_S,
    REPORT_AFTER_S,
    Liveness,
    Stall,
)
from metabonk.system.process_ids import ProcessId
from metabonk.system.thread_usage import SessionUsage, ThreadUsage

OMEGA = ProcessId(pid=7, started=100)
LATER = ProcessId(pid=7, started=200)


def threads(*, ran_s: float = 0.0, waited_s: float | None = 0.0, state: str = "S") -> SessionUsage:
    return {7: ThreadUsage(ran_s, waited_s, state, nice=0)}


class Scene:
    """A child that is looked at once a second."""

    def __init__(self) -> None:
        self.liveness = Liveness()
        self.now = 0.0
        self.usage: SessionUsage = threads()

    def pass_time(self, seconds: int, turns: dict[Loop, int] | None = None) -> None:
        for _ in range(seconds):
            self.now += 1.0
            self.look(turns)

    def look(self, turns: dict[Loop, int] | None, process: ProcessId = OMEGA) -> None:
        self.liveness.observe("omega-0", process, turns, self.now)
        for name in self.liveness.suspects(self.now):
            self.liveness.excuse(name, self.usage, self.now)

    @property
    def stall(self) -> Stall | None:
        return self.liveness.stalls(self.now).get("omega-0")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_loop_that_turns_is_no_stall(scene: Scene):
    for count in range(40):
        scene.pass_time(1, {Loop.LIVE: count})
    assert scene.stall is None


@pytest.mark.parametrize("loop", list(Loop))
def test_a_loop_that_does_not_turn_is_reported_and_then_hangs(scene: Scene, loop: Loop):
    scene.pass_time(1, {loop: 5})
    scene.pass_time(int(REPORT_AFTER_S), {loop: 5})
    assert scene.stall and scene.stall.is_reportable and not scene.stall.is_hung
    assert scene.stall.description == "has made no progress for 5 s"
    scene.pass_time(int(HUNG_AFTER_S - REPORT_AFTER_S), {loop: 5})
    assert scene.stall and scene.stall.is_hung


def test_one_loop_does_not_make_up_for_another(scene: Scene):
    for count in range(int(HUNG_AFTER_S) + 1):
        scene.pass_time(1, {Loop.LIVE: 5, Loop.BACKGROUND: count})
    assert scene.stall and scene.stall.is_hung and scene.stall.loop is Loop.LIVE


def test_a_process_that_never_turns_a_loop_has_not_started(scene: Scene):
    scene.pass_time(int(NOT_STARTED_AFTER_S))
    assert scene.stall and not scene.stall.is_hung
    scene.pass_time(1, {})
    assert scene.stall and scene.stall.is_hung
    assert scene.stall.description == "has not started for 20 s"


def test_a_child_that_stops_to_answer_has_started_all_the_same(scene: Scene):
    scene.pass_time(1, {Loop.TRAIN: 5})
    scene.pass_time(int(HUNG_AFTER_S))
    assert scene.stall and scene.stall.is_hung and scene.stall.loop is Loop.TRAIN


def test_a_verdict_belongs_to_a_process_and_the_next_begins_anew(scene: Scene):
    scene.pass_time(60)
    scene.look(None, LATER)
    assert scene.stall is None
    scene.look({Loop.LIVE: 5}, LATER)
    assert scene.stall is None


def test_the_time_for_which_it_waits_for_a_processor_is_excused(scene: Scene):
    for second in range(60):
        scene.usage = threads(waited_s=0.9 * second)
        scene.pass_time(1, {Loop.LIVE: 5})
    assert scene.stall and not scene.stall.is_hung and scene.stall.is_reportable


def test_without_the_kernels_count_a_runnable_thread_is_excused(scene: Scene):
    scene.usage = threads(waited_s=None, state="R")
    scene.pass_time(60, {Loop.LIVE: 5})
    assert scene.stall and not scene.stall.is_reportable


def test_what_waits_for_a_disk_is_excused(scene: Scene):
    scene.usage = threads(state="D")
    scene.pass_time(60, {Loop.TRAIN: 5})
    assert scene.stall and not scene.stall.is_reportable


def test_threads_of_low_priority_do_not_excuse_a_live_game(scene: Scene):
    for second in range(20):
        scene.usage = {**threads(), 8: ThreadUsage(0.0, float(second), "R", nice=19)}
        scene.pass_time(1, {Loop.LIVE: 5})
    assert scene.stall and scene.stall.is_hung


@pytest.mark.parametrize(
    ("turns", "hangs"), [({}, False), ({Loop.TRAIN: 5}, False), ({Loop.LIVE: 5}, True)]
)
def test_computing_excuses_a_start_and_an_update_but_no_game(
    scene: Scene, turns: dict[Loop, int], hangs: bool
):
    for second in range(60):
        scene.usage = threads(ran_s=0.5 * second)
        scene.pass_time(1, turns)
    assert scene.stall and scene.stall.is_hung is hangs


def test_no_excuse_counts_for_ever(scene: Scene):
    scene.usage = threads(state="D")
    scene.pass_time(int(PATIENCE_S), {Loop.LIVE: 5})
    assert scene.stall and not scene.stall.is_hung
    scene.pass_time(1, {Loop.LIVE: 5})
    assert scene.stall and scene.stall.is_hung


def test_excuses_of_an_earlier_stall_do_not_count(scene: Scene):
    scene.usage = threads(state="D")
    scene.pass_time(30, {Loop.LIVE: 5})
    scene.usage = threads()
    scene.pass_time(1, {Loop.LIVE: 6})
    scene.pass_time(int(HUNG_AFTER_S), {Loop.LIVE: 6})
    assert scene.stall and scene.stall.is_hung


def test_children_that_are_gone_are_forgotten(scene: Scene):
    scene.pass_time(30)
    scene.liveness.keep(set())
    assert scene.stall is None
