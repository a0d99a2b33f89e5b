"""An encoder that brings workers down is left alone for a while."""

import json
import signal
from pathlib import Path

import pynvml
import pytest

from metabonk.encoding.ladder import RUNGS
from metabonk.encoding.proofs import DOUBT_S, Proofs
from metabonk.encoding.sessions import Holder, Pools
from metabonk.encoding.sessions.nvml import Census, Gpu, Nvml
from metabonk.orchestrator.obituary import Death
from metabonk.orchestrator.suspicion import Suspicion

GPU = Gpu(0, "GPU-0", "GeForce", pynvml.NVML_BRAND_GEFORCE, "590.44")
NVENC = next(rung for rung in RUNGS if rung.backend == "av:h264_nvenc")


class Card(Nvml):
    def census(self) -> Census:
        return Census((GPU,))


class Scene:
    """A slot folder in which workers have died."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.pools = Pools(folder, nvenc_limit=2, cpu_limit=1, nvml=Card())
        self.proofs = Proofs(folder)
        self.suspicion = Suspicion(self.pools, self.proofs, clock=lambda: self.now)
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
        self.suspicion.died(Death("omega-0", code, "Segmentation fault", 7))

    @property
    def doubt(self) -> str | None:
        proof = self.proofs.known(NVENC, GPU)
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
    scene.now += DOUBT_S
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
