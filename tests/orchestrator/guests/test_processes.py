"""Guests that come and go with rings, as children that are real processes."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.broadcast.places import create_ring
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.guests import processes as guests_module
from metabonk.orchestrator.guests.election import Election
from metabonk.orchestrator.guests.processes import Guests
from metabonk.orchestrator.guests.ring_finder import RingFinder
from metabonk.orchestrator.processes.supervisor import Supervisor
from metabonk.settings import Settings
from metabonk.settings.schema import Paths
from metabonk.system.log_files import LogRotation
from tests.support.children import OBEDIENT, descendants
from tests.support.rings import announcement
from tests.support.serving import free_ports
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("_only_own_descendants")


class Stage:
    """Guests whose processes do nothing but end when they are asked to."""

    def __init__(self, folder: Path) -> None:
        (base,) = free_ports(1, spare=8)
        paths = Paths(logs=folder / "logs", runtime=folder)
        self.state = FleetState(
            Settings.model_validate({"workers": 1, "ports": {"worker": base}, "paths": paths}),
            None,
        )
        self.election = Election("hub")
        self.finder = RingFinder(self.election)
        self.supervisor = Supervisor((), stagger_s=0.0, restart_backoff_max_s=1.0)
        self.guests = Guests(
            self.finder,
            self.state,
            self.supervisor,
            LogRotation(()),
            settings_file=folder / "settings.json",
            folder=folder,
            gpus=(),
        )

    def tick(self) -> None:
        self.finder.look()
        self.guests.tick()
        self.supervisor.tick()

    def has(self, *names: str) -> bool:
        self.tick()
        return sorted(self.supervisor.running()) == sorted(names)

    def close(self) -> None:
        self.supervisor.stop(0.0)
        self.election.close()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Replace guests by programs that only wait; return the arguments that they would get."""
    given: list[tuple[str, ...]] = []

    def metabonk(*arguments: str) -> tuple[str, ...]:
        given.append(arguments)
        return (sys.executable, "-c", OBEDIENT)

    monkeypatch.setattr(guests_module, "metabonk", metabonk)
    return given


@pytest.fixture
def stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[tuple[str, ...]]
) -> Iterator[Stage]:
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path))
    with contextlib.closing(Stage(tmp_path)) as stage:
        yield stage


def test_a_guest_is_started_for_each_ring_and_ended_with_it(
    stage: Stage, commands: list[tuple[str, ...]]
):
    rings = [create_ring(announcement("mine-{rank}"), (1 << 17,)) for _ in range(2)]
    until("both run", lambda: stage.has("mine-0", "mine-1"))
    member = stage.state.roster.find("mine-1")
    assert member is not None
    assert member.index == 2
    option = dict(zip(commands[1][1::2], commands[1][2::2], strict=True))
    assert commands[1][0] == "guest"
    assert (option["--name"], option["--index"]) == ("mine-1", "2")
    assert (option["--port"], option["--ring"]) == (str(member.port), str(rings[1].file))
    rings[0].close()
    until("one is gone", lambda: stage.has("mine-1"))
    assert stage.state.roster.find("mine-0") is None
    assert len(descendants()) == 1
    assert stage.guests.problems() == []
    rings[1].close()
    until("both are gone", lambda: stage.has())
    assert descendants() == []


def test_a_guest_that_dies_is_started_again_while_its_ring_is_there(
    stage: Stage, commands: list[tuple[str, ...]]
):
    ring = create_ring(announcement("mine"), (1 << 17,))
    until("it runs", lambda: stage.has("mine"))
    first = stage.supervisor.running()["mine"]
    (process,) = descendants()
    process.kill()
    until(
        "it runs again",
        lambda: stage.has("mine") and stage.supervisor.running()["mine"] != first,
    )
    assert len(commands) == 2
    ring.close()


def test_a_ring_of_the_same_name_is_a_new_guest_once_the_old_one_has_ended(stage: Stage):
    ring = create_ring(announcement("mine"), (1 << 17,))
    until("it runs", lambda: stage.has("mine"))
    first = stage.supervisor.running()["mine"]
    ring.close()
    stage.tick()
    ring = create_ring(announcement("mine"), (1 << 17,))
    until(
        "another one runs",
        lambda: stage.has("mine") and stage.supervisor.running()["mine"] != first,
    )
    assert len(descendants()) == 1
    ring.close()
