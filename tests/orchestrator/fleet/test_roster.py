"""The table of workers."""

import socket

import pytest

from metabonk.messages.workers import WorkerKind
from metabonk.orchestrator.fleet.roster import Roster
from metabonk.settings import Settings
from tests.support.serving import free_ports
from tests.support.statuses import guest_status, status

LOOPBACK = "127.0.0.1"


@pytest.fixture
def settings() -> Settings:
    (base,) = free_ports(1, spare=8)
    return Settings.model_validate({"workers": 2, "ports": {"worker": base}})


def test_a_fleets_workers_are_there_from_the_beginning(settings: Settings):
    roster = Roster(settings)
    member = roster.find("omega-1")
    assert member is not None
    assert (member.index, member.port) == (1, settings.worker_port(1))
    assert roster.find("omega-2") is None
    assert roster.absence("omega-2") == "there is no worker omega-2; the fleet has 2"


def test_guests_get_the_lowest_free_index_after_the_fleets_workers(settings: Settings):
    roster = Roster(settings)
    assert [roster.add_guest(name).index for name in ("a", "b", "c")] == [2, 3, 4]
    roster.remove("b")
    assert roster.find("b") is None
    assert roster.add_guest("d").index == 3
    assert [roster.name_of(index) for index in (0, 2, 3, 4)] == ["omega-0", "a", "d", "c"]
    assert roster.absence("b").endswith("and 3 guests")


def test_a_guests_port_is_one_that_can_be_listened_on(settings: Settings):
    with socket.socket() as other:
        other.bind((LOOPBACK, settings.worker_port(2)))
        other.listen()
        roster = Roster(settings)
        ports = [roster.add_guest(name).port for name in ("a", "b")]
    assert settings.worker_port(2) not in ports
    assert len(set(ports)) == 2


def test_a_guest_that_starts_again_gets_a_port_that_is_free_then(settings: Settings):
    roster = Roster(settings)
    first = roster.add_guest("a").port
    assert roster.renew_port("a") == first
    with socket.socket() as other:
        other.bind((LOOPBACK, first))
        other.listen()
        moved = roster.renew_port("a")
    found = roster.find("a")
    assert found is not None
    assert first != moved == found.port


def test_only_the_worker_itself_reports_for_it(settings: Settings):
    roster = Roster(settings)
    index = roster.add_guest("a").index
    assert roster.matches(status(1))
    assert roster.matches(guest_status(index, "a"))
    assert not roster.matches(guest_status(index + 1, "a"))
    assert not roster.matches(guest_status(index, "b"))
    assert roster.find("omega-0") is not None
    assert {each.kind for each in map(roster.find, ("a", "omega-0")) if each} == set(WorkerKind)
