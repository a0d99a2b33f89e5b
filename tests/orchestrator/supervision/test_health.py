import errno
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest

from metabonk.encoding.capacity import Capacity
from metabonk.encoding.ladder import RUNGS
from metabonk.encoding.probe import QUARANTINE_S, ProbeCache
from metabonk.encoding.sessions import Holder, Pools
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory, Nvml
from metabonk.encoding.sessions.slots import LOCK_TIMEOUT_S, locked
from metabonk.errors import EncodingError
from metabonk.messages.base import Problem
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.processes.exit_report import ExitReport
from metabonk.orchestrator.supervision.health import EncoderQuarantine, HealthMonitor
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from tests.support.clock import Clock
from tests.support.serving import free_port
from tests.support.waiting import until


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path, clock: Clock) -> Iterator[FleetState]:
    store = EpisodeStore(tmp_path, "doom:basic")
    ports = {"learner": free_port(), "worker": free_port()}
    settings = Settings.model_validate({"ports": ports, "paths": {"runs": tmp_path}})
    yield FleetState(settings, store, clock)
    store.close()


def test_capacity_is_polled(state: FleetState):
    monitor = HealthMonitor(state, lambda: Capacity(cpu=3))
    monitor.start()
    until("it is known", lambda: state.capacity.total == 3)
    monitor.close()
    assert monitor.problems() == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES, errno.ESTALE])
def test_an_error_of_the_system_is_a_problem_and_the_poll_is_repeated(
    state: FleetState, number: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("metabonk.orchestrator.supervision.health.INTERVAL_S", 0.01)
    fails = True

    def capacity() -> Capacity:
        if fails:
            raise OSError(number, os.strerror(number))
        return Capacity(cpu=3)

    def machine() -> list[Problem]:
        if fails:
            raise OSError(number, os.strerror(number))
        return []

    monitor = HealthMonitor(state, capacity, machine)
    monitor.start()
    until("both are problems", lambda: len(monitor.problems()) == 2)
    assert all(os.strerror(number) in problem.message for problem in monitor.problems())
    fails = False
    until("they are gone", lambda: monitor.problems() == [])
    assert state.capacity.total == 3
    monitor.close()


def test_a_poll_that_waits_for_a_disk_is_a_problem(
    state: FleetState, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("metabonk.orchestrator.supervision.health.OVERDUE_AFTER_S", 0.05)
    answers = threading.Event()

    def machine() -> list[Problem]:
        answers.wait(20)
        return []

    monitor = HealthMonitor(state, lambda: Capacity(cpu=3), machine)
    monitor.start()
    until("it is shown", monitor.problems)
    assert "has been waiting for" in monitor.problems()[0].message
    answers.set()
    until("it is gone", lambda: monitor.problems() == [])
    monitor.close()


def test_a_problem_of_the_machine_is_shown_until_it_is_fixed(state: FleetState):
    found = [Problem(message="little disk", action="free some")]
    monitor = HealthMonitor(state, lambda: Capacity(cpu=3), lambda: list(found))
    monitor.start()
    until("it is shown", lambda: monitor.problems() == found != [])
    found.clear()
    until("it is gone", lambda: monitor.problems() == [])
    monitor.close()


def test_sessions_that_cannot_be_counted_are_a_problem_and_change_nothing(state: FleetState):
    def refuse() -> Capacity:
        raise EncodingError("the slots are gone")

    state.set_capacity(Capacity(cpu=2))
    monitor = HealthMonitor(state, refuse)
    monitor.start()
    until("it is a problem", monitor.problems)
    monitor.close()
    assert "the slots are gone" in monitor.problems()[0].message
    assert state.capacity.total == 2


def test_a_stuck_process_that_keeps_a_pool_is_a_problem_and_the_count_goes_on(state: FleetState):
    monitor = HealthMonitor(state, lambda: Capacity(cpu=3, notes={"cpu": "lock kept"}))
    monitor.start()
    until("it is a problem", monitor.problems)
    monitor.close()
    assert monitor.problems()[0].message == "no worker gets a session of pool cpu: lock kept"
    assert state.capacity.total == 3


GPU = Gpu(0, "GPU-0", "GeForce", pynvml.NVML_BRAND_GEFORCE, "590.44")
NVENC = next(rung for rung in RUNGS if rung.backend == "av:h264_nvenc")


class OneCard(Nvml):
    def inventory(self) -> GpuInventory:
        return GpuInventory((GPU,))


class Scene:
    """A slot folder in which workers have died."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.pools = Pools(folder, nvenc_limit=2, cpu_limit=1, nvml=OneCard())
        self.probes = ProbeCache(folder)
        self.quarantine = EncoderQuarantine(self.pools, self.probes, self.clock)
        self.slot = folder / "nvenc-gpu0" / "slot-0.lock"
        pool = self.pools.nvenc(0)
        assert pool
        pool.usage()

    def dies(self, code: int, *, session_open: bool = True, pid: int = 7) -> None:
        holder = Holder(
            slot=0,
            pid=pid,
            worker="omega-0",
            backend=NVENC.backend,
            gpu=0,
            session_open=session_open,
        )
        self.slot.write_text(json.dumps(holder.model_dump()))
        self.quarantine.on_exit(ExitReport("omega-0", code, "Segmentation fault", 7))

    @property
    def reason(self) -> str | None:
        result = self.probes.cached(NVENC, GPU)
        return result.reason if result else None


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_second_crash_while_encoding_quarantines_the_encoder(scene: Scene):
    scene.dies(-signal.SIGSEGV)
    assert scene.reason is None
    scene.dies(-signal.SIGSEGV)
    assert scene.reason is not None
    assert "omega-0 was terminated by SIGSEGV: Segmentation fault, while encoding" in scene.reason


def test_one_crash_while_opening_is_enough(scene: Scene):
    scene.dies(-signal.SIGABRT, session_open=False)
    assert scene.reason is not None and "while opening the encoder" in scene.reason


def test_crashes_far_apart_quarantine_nothing(scene: Scene):
    scene.dies(-signal.SIGSEGV)
    scene.clock.now += QUARANTINE_S
    scene.dies(-signal.SIGSEGV)
    assert scene.reason is None


@pytest.mark.parametrize("code", [-signal.SIGKILL, -signal.SIGTERM, 1])
def test_other_deaths_do_not_blame_the_encoder(scene: Scene, code: int):
    for _ in range(3):
        scene.dies(code, session_open=False)
    assert scene.reason is None


def test_a_slot_left_by_another_process_does_not_blame_the_encoder(scene: Scene):
    scene.dies(-signal.SIGSEGV, session_open=False, pid=8)
    assert scene.reason is None


def test_a_crash_is_judged_while_a_stuck_process_keeps_the_pool(scene: Scene):
    with locked(scene.slot.parent / "pool.lock"):
        began = time.monotonic()
        scene.dies(-signal.SIGABRT, session_open=False)
        assert time.monotonic() - began < LOCK_TIMEOUT_S, "the supervision doesn't wait"
    assert scene.reason is not None


def test_an_unusable_slot_folder_is_logged_and_changes_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
):
    scene.slot.parent.chmod(0o777)
    scene.dies(-signal.SIGSEGV)
    assert "omega-0: can't read which encoder it had open" in caplog.text
