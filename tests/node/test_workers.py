"""Workers that are started and ended as the head orders; each is a process that waits."""

import sys
from pathlib import Path
from typing import Any

import pytest

from metabonk.messages.nodes import Grant
from metabonk.messages.workers import Counters, instance_id
from metabonk.node.workers import NodeWorkers
from metabonk.orchestrator.fleet.roster import Roster
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.processes import children
from metabonk.orchestrator.processes.supervisor import ChildSpec, Supervisor
from metabonk.settings import Settings, read_settings
from metabonk.system.log_files import LogRotation
from tests.support.waiting import until

WAITS = (sys.executable, "-c", "import time; time.sleep(60)")


def grant(index: int, step: int = 0, start: int = 7) -> Grant:
    return Grant(worker_index=index, step=step, episode=0, start=start)


class Setup:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = Settings(workers=64)
        self.state = FleetState(settings, None, roster=Roster(settings, here=()))
        self.supervisor = Supervisor((), stagger_s=0.0, restart_backoff_max_s=1.0)
        self.workers = NodeWorkers(
            settings,
            folder / "settings.json",
            folder,
            self.state,
            self.supervisor,
            LogRotation(()),
            (),
        )

    def tick(self) -> None:
        self.workers.tick()
        self.supervisor.tick()

    def playing(self) -> list[str]:
        self.tick()
        return sorted(self.supervisor.running())


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def spec(settings: Settings, common: object, index: int, *more: object) -> ChildSpec:
        return ChildSpec(instance_id(index), lambda: WAITS, tmp_path / f"{index}.log")

    monkeypatch.setattr(children, "worker_spec", spec)
    opened = Setup(tmp_path)
    yield opened
    opened.supervisor.stop(1.0)


def test_ordered_workers_run_and_others_end(setup: Setup):
    setup.workers.order([grant(3), grant(5)])
    until("both run", lambda: setup.playing() == ["omega-3", "omega-5"])
    assert read_settings(setup.folder / "settings.json").workers == 2
    setup.workers.order([grant(5)])
    until("one runs", lambda: setup.playing() == ["omega-5"])
    assert setup.state.roster.find("omega-3") is None


def test_a_worker_is_held_from_its_order_until_its_process_has_ended(setup: Setup):
    assert setup.workers.held() == []
    setup.workers.order([grant(3)])
    # Before anything was started: the head must not give it to others.
    assert setup.workers.held() == [3]
    until("it runs", lambda: setup.playing() == ["omega-3"])
    setup.workers.order([])
    assert setup.workers.held() == [3]
    until("it has ended", lambda: setup.playing() == [])
    setup.tick()
    assert setup.workers.held() == []


def test_a_worker_that_comes_back_while_it_ends_is_started_after_that(setup: Setup):
    setup.workers.order([grant(3)])
    until("it runs", lambda: setup.playing() == ["omega-3"])
    first = setup.supervisor.running()["omega-3"]
    setup.workers.order([])
    setup.workers.tick()
    setup.workers.order([grant(3)])
    until(
        "another runs",
        lambda: setup.supervisor.running().get("omega-3", first) != first or (setup.tick() or None),
    )
    assert setup.workers.held() == [3]


def test_counters_and_starts_go_on_from_the_heads_or_later_ones(setup: Setup):
    setup.state.set_counters(4, Counters(step=900, episode=2))
    setup.workers.order([grant(3, step=70, start=11), grant(4, step=800)])
    setup.tick()
    assert (setup.folder / "starts" / "omega-3").read_text() == "11\n"
    assert [setup.state.counters(index).step for index in (3, 4)] == [70, 900]


def test_seats_are_given_in_turn_and_again(setup: Setup):
    setup.workers.order([grant(40), grant(41), grant(60)])
    setup.tick()
    assert setup.state.roster.seats() == {"omega-40": 0, "omega-41": 1, "omega-60": 2}
    setup.workers.order([grant(40), grant(60)])
    until("it has gone", lambda: "omega-41" not in setup.playing())
    setup.workers.order([grant(40), grant(60), grant(7)])
    setup.tick()
    assert setup.state.roster.seats()["omega-7"] == 1


def test_a_game_that_this_machine_lacks_is_a_problem_and_not_the_end_of_the_agent(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
):
    fails = "import sys; sys.stderr.write('metabonk: unknown game: install it\\n'); sys.exit(2)"
    command = (sys.executable, "-c", fails)
    spec = ChildSpec("omega-3", lambda: command, setup.folder / "3.log")
    monkeypatch.setattr(children, "worker_spec", lambda *given: spec)
    setup.workers.order([grant(3)])
    until("it has failed", lambda: setup.tick() or setup.supervisor.problems())
    (problem,) = setup.supervisor.problems()
    assert "unknown game: install it" in problem.message
    assert setup.workers.held() == [3]
