"""An inference server that dies or hangs under a fleet: everybody plays on, by itself."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.machine_speed import slowness
from tests.support.processes import with_word
from tests.support.waiting import until

UNSEEN = "omega-1"
CONNECTED = "an inference server decides"
ALONE = "this worker decides by itself"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetUnderTest]:
    environment = {
        "METABONK_WORKER_INFERENCE": "shared",
        "METABONK_STREAM_ENABLED": "false",
        "METABONK_LEARNING_BATCH_SIZE": "128",
    }
    arguments = ("--workers", "2", "--game", "doom:basic")
    with run_fleet(tmp_path, *arguments, environment=environment) as fleet:
        yield fleet


def server_of(fleet: FleetUnderTest) -> psutil.Process:
    """Return the process of the inference server, as soon as there is one."""
    return until(
        "an inference server",
        lambda: next(iter(with_word(fleet.tree(), "inference-server")), None),
    )


def plays_on(fleet: FleetUnderTest) -> None:
    """Wait until the worker has made more steps, and learned from more."""
    before = fleet.statuses()[UNSEEN].step
    until("it plays on", lambda: fleet.statuses()[UNSEEN].step > before + 50)


def times(fleet: FleetUnderTest, words: str) -> int:
    return fleet.log(UNSEEN).count(words)


def test_workers_play_on_without_a_server_that_dies_or_hangs(fleet: FleetUnderTest):
    until("it decides", lambda: times(fleet, CONNECTED) == 1, 120)
    plays_on(fleet)
    until("its decisions are learned from", lambda: fleet.statuses()[UNSEEN].policy_version > 2, 60)

    first = server_of(fleet)
    first.kill()
    until("it is missed", lambda: times(fleet, ALONE) == 1)
    until("another one decides", lambda: times(fleet, CONNECTED) == 2, 60)
    assert "inference-0 was killed by SIGKILL" in fleet.log("orchestrator")
    plays_on(fleet)

    second = server_of(fleet)
    second.send_signal(signal.SIGSTOP)
    until("it is missed again", lambda: times(fleet, ALONE) == 2)
    plays_on(fleet)
    second.send_signal(signal.SIGCONT)
    until("it decides again", lambda: times(fleet, CONNECTED) == 3, 60)
    plays_on(fleet)
    assert fleet.stop() < 5 * slowness()
    assert not second.is_running()
