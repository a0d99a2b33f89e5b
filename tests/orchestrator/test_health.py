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
from metabonk.messages import Heartbeat, LearnerStatus, Problem
from metabonk.orchestrator.fleet import FleetState
from metabonk.orchestrator.health import HUNG_AFTER_S, EncoderQuarantine, HealthMonitor
from metabonk.orchestrator.supervisor import ExitReport
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from tests.support.children import until
from tests.support.serving import free_port, served
from tests.support.statuses import status

LEARNER = LearnerStatus(
    pid=1, uptime_s=1, policy_version=2, steps_trained=3, steps_per_s=4, steps_dropped=0,
    updates=5, policy_lag=0.5,
)  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> Iterator[FleetState]:
    store = EpisodeStore(tmp_path, "doom:basic")
    paths = {"runs": tmp_path}
    yield FleetState(
        Settings.model_validate({"ports": {"learner": free_port()}, "paths": paths}), "run", store
    )
    store.close()


def test_capacity_and_the_learner_are_asked_for_and_one_that_is_silent_is_none(state: FleetState):
    app = FastAPI()
    answers = [LEARNER.model_dump_json()]
    asked = []

    @app.get("/status")
    def status() -> Response:
        asked.append(1)
        return Response(answers[0], media_type="application/json")

    watch = HealthMonitor(state, lambda: Capacity(cpu=3))
    with served(app, state.settings.ports.learner):
        watch.start()
        until(lambda: state.fleet().learner == LEARNER)
        assert state.capacity.total == 3
        answers[0] = '{"pid": "rubbish"}'
        until(lambda: state.fleet().learner is None)
        assert len(asked) >= 2
    watch.close()
    assert watch.problems() == []


def test_what_is_seen_at_a_glance_is_a_problem_until_it_is_mended(state: FleetState):
    seen = [Problem(message="little disk", action="free some")]
    watch = HealthMonitor(state, lambda: 3, lambda: list(seen))
    watch.start()
    until(lambda: watch.problems() == seen != [])
    seen.clear()
    until(lambda: watch.problems() == [])
    watch.close()


def test_sessions_that_cannot_be_counted_are_a_problem_and_stop_nothing(state: FleetState):
    def refuse() -> Capacity:
        raise EncodingError("the slots are gone")

    state.set_capacity(Capacity(cpu=2))
    watch = HealthMonitor(state, refuse)
    watch.start()
    until(watch.problems)
    watch.close()
    assert "the slots are gone" in watch.problems()[0].message
    assert state.capacity.total == 2


def test_a_silent_worker_hangs_only_if_it_does_not_answer_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = 0.0
    app = FastAPI()

    @app.get("/healthz")
    def health() -> str:
        return "ok"

    port = free_port()
    paths = {"runs": tmp_path}
    settings = Settings.model_validate(
        {"ports": {"worker": port, "learner": free_port()}, "paths": paths}
    )
    store = EpisodeStore(tmp_path, "doom:basic")
    state = FleetState(settings, "run", store, clock=lambda: now)
    state.heartbeat(Heartbeat(status=status(0), episodes=[]))
    watch = HealthMonitor(state, lambda: Capacity(cpu=1))
    monkeypatch.setattr("metabonk.orchestrator.health.INTERVAL_S", 0.02)
    with served(app, port):
        watch.start()
        now = HUNG_AFTER_S + 1
        time.sleep(0.3)
        assert watch.hung() == {}
    until(watch.hung)
    assert watch.hung() == {"omega-0": HUNG_AFTER_S + 1}
    state.heartbeat(Heartbeat(status=status(0), episodes=[]))
    until(lambda: not watch.hung())
    watch.close()
    store.close()


GPU = Gpu(0, "GPU-0", "GeForce", pynvml.NVML_BRAND_GEFORCE, "590.44")
NVENC = next(rung for rung in RUNGS if rung.backend == "av:h264_nvenc")


class Card(Nvml):
    def inventory(self) -> GpuInventory:
        return GpuInventory((GPU,))


class Scene:
    """A slot folder in which workers have died."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.pools = Pools(folder, nvenc_limit=2, cpu_limit=1, nvml=Card())
        self.proofs = ProbeCache(folder)
        self.suspicion = EncoderQuarantine(self.pools, self.proofs, clock=lambda: self.now)
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
        self.suspicion.died(ExitReport("omega-0", code, "Segmentation fault", 7))

    @property
    def doubt(self) -> str | None:
        proof = self.proofs.cached(NVENC, GPU)
        return proof.reason if proof else None


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_second_crash_while_encoding_leaves_doubt(scene: Scene):
    scene.dies(-signal.SIGSEGV)
    assert scene.doubt is None
    scene.dies(-signal.SIGSEGV)
    assert "omega-0 was ended by SIGSEGV: Segmentation fault, while it encoded" in (
        scene.doubt or ""
    )


def test_one_crash_while_opening_is_enough(scene: Scene):
    scene.dies(-signal.SIGABRT, session_open=False)
    assert "while it was opened" in (scene.doubt or "")


def test_crashes_far_apart_leave_no_doubt(scene: Scene):
    scene.dies(-signal.SIGSEGV)
    scene.now += QUARANTINE_S
    scene.dies(-signal.SIGSEGV)
    assert scene.doubt is None


@pytest.mark.parametrize("code", [-signal.SIGKILL, -signal.SIGTERM, 1])
def test_other_deaths_say_nothing_of_encoders(scene: Scene, code: int):
    for _ in range(3):
        scene.dies(code, session_open=False)
    assert scene.doubt is None


def test_a_slot_that_another_worker_left_is_not_held_against_it(scene: Scene):
    scene.dies(-signal.SIGSEGV, session_open=False, pid=8)
    assert scene.doubt is None


def test_a_slot_folder_that_is_gone_stops_nothing(scene: Scene, caplog: pytest.LogCaptureFixture):
    scene.slot.parent.chmod(0o777)
    scene.dies(-signal.SIGSEGV)
    assert "can't be known" in caplog.text
