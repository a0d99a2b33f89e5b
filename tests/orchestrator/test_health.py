import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest
from fastapi import FastAPI, Response

from metabonk.encoding.capacity import Capacity
from metabonk.encoding.ladder import RUNGS
from metabonk.encoding.probe import QUARANTINE_S, ProbeCache
from metabonk.encoding.sessions import Holder, Pools
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory, Nvml
from metabonk.errors import EncodingError
from metabonk.messages import LearnerStatus, Problem
from metabonk.orchestrator.exit_report import ExitReport
from metabonk.orchestrator.fleet import FleetState
from metabonk.orchestrator.health import HUNG_AFTER_S, EncoderQuarantine, HealthMonitor
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from tests.support.clock import Clock
from tests.support.serving import free_port, served
from tests.support.statuses import heartbeat
from tests.support.waiting import until

LEARNER = LearnerStatus(
    pid=1, uptime_s=1, policy_version=2, steps_trained=3, steps_per_s=4, steps_dropped=0,
    updates=5, policy_lag=0.5,
)  # fmt: skip


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


def test_capacity_and_learner_are_polled_and_a_learner_without_an_answer_is_none(
    state: FleetState,
):
    app = FastAPI()
    answers = [LEARNER.model_dump_json()]
    requests = []

    @app.get("/status")
    def status() -> Response:
        requests.append(1)
        return Response(answers[0], media_type="application/json")

    monitor = HealthMonitor(state, lambda: Capacity(cpu=3))
    with served(app, state.settings.ports.learner):
        monitor.start()
        until("the learner is known", lambda: state.fleet().learner == LEARNER)
        assert state.capacity.total == 3
        answers[0] = '{"pid": "rubbish"}'
        until("its status is refused", lambda: state.fleet().learner is None)
        assert len(requests) >= 2
    monitor.close()
    assert monitor.problems() == []


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


def test_a_silent_worker_hangs_only_if_it_does_not_answer_either(
    state: FleetState, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    app = FastAPI()

    @app.get("/healthz")
    def health() -> str:
        return "ok"

    state.heartbeat(heartbeat(0))
    monkeypatch.setattr("metabonk.orchestrator.health.INTERVAL_S", 0.02)
    monitor = HealthMonitor(state, lambda: Capacity(cpu=1))
    with served(app, state.settings.ports.worker):
        monitor.start()
        clock.now = HUNG_AFTER_S + 1
        time.sleep(0.3)
        assert monitor.unresponsive() == {}
    until("it hangs", monitor.unresponsive)
    assert monitor.unresponsive() == {"omega-0": HUNG_AFTER_S + 1}
    state.heartbeat(heartbeat(0))
    until("it is back", lambda: not monitor.unresponsive())
    monitor.close()


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


def test_an_unusable_slot_folder_is_logged_and_changes_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
):
    scene.slot.parent.chmod(0o777)
    scene.dies(-signal.SIGSEGV)
    assert "omega-0: can't read which encoder it had open" in caplog.text
