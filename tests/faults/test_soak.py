"""Weeks of events in half an hour: rotation, viewers, killed processes, a clock that jumps.

``python -m pytest tests/faults/test_soak.py --long -s`` takes 31 minutes and prints a table.
"""

import json
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from metabonk.messages.learner import LearnerStatus
from metabonk.messages.workers import StreamState
from tests.support import http
from tests.support.census import Census, engines_of, members
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.processes import kill
from tests.support.shifted_clock import ShiftedClock
from tests.support.viewer import CLOCK_TOLERANCE_S, Spectator, clock_drifts
from tests.support.waiting import GENEROUS_S, until

WORKERS = 3
FPS = 15
SPARED = ("orchestrator", "learner", "omega-0")
"""Never killed, so that they have time to grow."""

ENVIRONMENT = {
    "METABONK_STREAM_WIDTH": "256",
    "METABONK_STREAM_HEIGHT": "144",
    "METABONK_STREAM_FPS": str(FPS),
    "METABONK_STREAM_BITRATE_KBPS": "300",
    "METABONK_CPU_MAX_SESSIONS": "1",
    "METABONK_FEATURED_ROTATE_S": "10",
    "METABONK_LEARNING_CHECKPOINT_INTERVAL_S": "15",
    "METABONK_WORKER_GAMES_PER_WORKER": "1",
}

HOUR_S = 3600
SAMPLE_S = 1.0
JOIN_EVERY_S = 1.0
PAUSE_S = 2.0
"""Longest time between two messages of a live stream on a busy machine."""


def updates(fleet: FleetUnderTest) -> int:
    status = http.get(f"{fleet.learner}/status").raise_for_status().json()
    return LearnerStatus.model_validate(status).updates


class Passerby(threading.Thread):
    """Viewer that joins each live stream for a few frames, again and again."""

    def __init__(self, fleet: FleetUnderTest) -> None:
        super().__init__(name="passerby", daemon=True)
        self._fleet = fleet
        self._over = threading.Event()
        self.joins = 0

    def run(self) -> None:
        while not self._over.wait(JOIN_EVERY_S):
            for index in range(WORKERS):
                self._visit(self._fleet.worker(index).replace("http", "ws", 1))

    def _visit(self, address: str) -> None:
        try:
            with connect(f"{address}/stream?audience=broadcast", max_size=None) as socket:
                for _ in range(8):
                    if is_of_no_stream(socket.recv(PAUSE_S)):
                        return
                self.joins += 1
        except (OSError, TimeoutError, WebSocketException):
            pass  # The worker is in standby, or was just killed.

    def end(self) -> None:
        self._over.set()
        self.join(GENEROUS_S)


def is_of_no_stream(message: str | bytes) -> bool:
    """Tell whether a message says that the worker is not live."""
    if isinstance(message, bytes):
        return False
    return json.loads(message).get("state", StreamState.LIVE) != StreamState.LIVE


@pytest.mark.timeout(2400)
def test_nothing_grows_while_workers_rotate_viewers_come_and_go_and_processes_die(
    tmp_path: Path, long: bool
):
    duration, kill_every = (1800.0, 60.0) if long else (30.0, 10.0)
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    print(f"\nsoak of {duration:.0f} s, seed {seed}")
    census, clock, kills = Census(), ShiftedClock(tmp_path), 0
    arguments = ("--workers", str(WORKERS), "--game", "doom:basic")
    with run_fleet(tmp_path, *arguments, environment=ENVIRONMENT | clock.environment) as fleet:
        until("all workers are there", lambda: len(fleet.statuses()) == WORKERS, 90)
        until("one is live", lambda: fleet.in_state(StreamState.LIVE), 60)
        # Until then the learner imports, and allocates what it keeps.
        until("it learns", lambda: updates(fleet) >= 2, 180)
        spectators = [
            Spectator(fleet.worker(index), audience="broadcast", keep=False)
            for index in range(WORKERS)
        ]
        passerby = Passerby(fleet)
        passerby.start()
        began, killed_at = time.monotonic(), time.monotonic()
        jumped: tuple[int, int] | None = None
        with spectators[0], spectators[1], spectators[2]:
            # On a busy machine it takes longer until a stream has no pause for a while.
            while (now := time.monotonic() - began) < duration or (
                now < duration + 180 and not drifts_of(spectators)
            ):
                census.take(fleet)
                if jumped is None and time.monotonic() - began > duration / 3:
                    jumped = updates(fleet), fleet.statuses()["omega-0"].step
                    clock.shift(-HOUR_S)
                if time.monotonic() - killed_at >= kill_every:
                    kills += kill_one(fleet, chance)
                    killed_at = time.monotonic()
                time.sleep(SAMPLE_S)
            passerby.end()
        until("all workers are there", lambda: len(fleet.statuses()) == WORKERS, 60)
        assert jumped is not None
        until("learning continues", lambda: updates(fleet) > jumped[0], 60)
        until("play continues", lambda: fleet.statuses()["omega-0"].step > jumped[1], 60)
        learned = updates(fleet)
        epochs = sum(len(spectator.stretches) for spectator in spectators)
        fleet.stop()

    settled, window, share = (300.0, 120.0, 0.05) if long else (8.0, 8.0, 0.30)
    growth = census.growth(settled_s=settled, window_s=window)
    drifts = drifts_of(spectators)
    print(f"{kills} kills, {passerby.joins} joins, {epochs} epochs, {learned} updates")
    for (name, pid), grown in sorted(growth.items()):
        print(f"  {name:14} {pid:7} {grown}")
    print(
        f"  clock: off by {max(drifts, default=0) * 1000:.0f} ms at most in {len(drifts)} stretches"
    )

    assert kills >= duration / kill_every - 2
    assert passerby.joins >= duration / 10
    assert epochs >= duration / 30, "sessions rotate"
    assert set(SPARED) <= {name for name, _ in growth}
    for who, grown in growth.items():
        assert grown.memory < share, f"{who} grew: {grown}"
        assert grown.descriptors_after <= grown.descriptors_before + 4, f"{who}: {grown}"
        assert grown.threads_after <= grown.threads_before + 2, f"{who}: {grown}"
    assert drifts
    assert max(drifts) < CLOCK_TOLERANCE_S


def drifts_of(spectators: Sequence[Spectator]) -> list[float]:
    return [
        drift
        for spectator in spectators
        for stretch in tuple(spectator.stretches)
        for drift in clock_drifts(tuple(stretch.arrivals), FPS)
    ]


def kill_one(fleet: FleetUnderTest, chance: random.Random) -> int:
    """Kills a worker or an engine, by chance; 0 where those of now have gone by themselves."""
    found = members(fleet)
    workers = [
        found[f"omega-{index}"][0] for index in range(1, WORKERS) if found.get(f"omega-{index}")
    ]
    victims = [*workers, *(engine for worker in workers for engine in engines_of(worker))]
    if not victims:
        return 0
    try:
        kill([chance.choice(victims)])
    except psutil.NoSuchProcess:
        return 0
    return 1
