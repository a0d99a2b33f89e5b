"""Everything that can prevent the use of NVENC, and what calls for no action."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from metabonk.doctor import gpus
from metabonk.doctor.gpus import gpu_problems
from metabonk.doctor.host import Finding
from metabonk.encoding.ladder import ProbeResult
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import FailedGpu, Gpu, GpuInventory
from tests.support.machines import GEFORCE, H100, FakeNvml, pools_of

Examine = Callable[..., list[Finding]]


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Return the problems of a machine described by the arguments."""

    def problems(
        *cards: Gpu,
        probe: ProbeResult | None = None,
        library: bool = True,
        container: bool = False,
        device: bool = True,
        unavailable: str | None = None,
        lacks_encoder: bool = False,
    ) -> list[Finding]:
        monkeypatch.setattr(gpus, "_has_encode_library", lambda: library)
        monkeypatch.setattr(gpus, "in_container", lambda: container)
        monkeypatch.setattr(gpus, "DEVICE", tmp_path if device else tmp_path / "nowhere")
        probes = ProbeCache(tmp_path)
        if probe is not None:
            probes.store(gpus.NVENC_RUNGS[-1], cards[0], probe, quarantined=False)
        pools = pools_of(tmp_path, *cards, unavailable=unavailable)
        if lacks_encoder:
            pools.mark_no_encoder(cards[0].index)
        return list(gpu_problems(pools, probes))

    return problems


def test_a_card_that_can_encode_is_no_problem(examine: Examine):
    assert examine(GEFORCE) == []
    assert examine(GEFORCE, probe=ProbeResult(works=True)) == []
    assert examine() == []


def test_a_container_without_the_video_capability_is_told_to_add_it(examine: Examine):
    (finding,) = examine(GEFORCE, library=False, container=True)
    assert "libnvidia-encode.so.1 is missing" in finding.message
    assert finding.action == f"start the container with {gpus.CAPABILITIES}"
    assert "video" in gpus.CAPABILITIES


def test_outside_a_container_the_package_is_named(examine: Examine):
    (finding,) = examine(GEFORCE, library=False)
    assert "libnvidia-encode1" in (finding.action or "")


def test_an_encoder_hidden_from_a_container_is_reported_but_a_missing_one_is_not(
    examine: Examine,
):
    (finding,) = examine(GEFORCE, lacks_encoder=True, container=True)
    assert "code 2" in finding.message and gpus.CAPABILITIES in (finding.action or "")
    assert examine(GEFORCE, lacks_encoder=True) == []


@pytest.mark.parametrize("name", ["NVIDIA H200", "NVIDIA A100-SXM4-40GB", H100.name])
def test_a_card_without_an_encoder_calls_for_no_action(examine: Examine, name: str):
    card = replace(H100, name=name, driver="550.54")
    assert examine(card, lacks_encoder=True, library=False, container=True) == []


def test_a_driver_too_old_for_ffmpeg_is_reported_unless_another_encoder_works(
    examine: Examine,
):
    old = replace(GEFORCE, driver="550.54.14")
    (finding,) = examine(old)
    assert "driver 550.54.14" in finding.message and "570 or newer" in finding.message
    assert "update the driver" in (finding.action or "")
    assert examine(old, probe=ProbeResult(works=True)) == []


def test_a_driver_that_does_not_answer_is_reported_if_there_is_a_gpu(examine: Examine):
    reason = "the NVIDIA driver does not answer: Driver/library version mismatch"
    (finding,) = examine(unavailable=reason)
    assert reason in finding.message and "reboot" in (finding.action or "")
    (finding,) = examine(unavailable=reason, container=True)
    assert "utility" in (finding.action or "")
    assert examine(unavailable="no NVIDIA driver on this machine", device=False) == []


def test_hidden_gpus_are_no_problem(examine: Examine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert examine(unavailable="every GPU is hidden by CUDA_VISIBLE_DEVICES") == []


@pytest.fixture
def _fresh() -> Iterator[None]:
    gpus._has_encode_library.cache_clear()
    yield
    gpus._has_encode_library.cache_clear()


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize(("library", "there"), [("libc.so.6", True), ("libnone.so.1", False)])
def test_the_library_is_found_as_programs_find_it(
    monkeypatch: pytest.MonkeyPatch, library: str, there: bool
):
    monkeypatch.setattr(gpus, "ENCODE_LIBRARY", library)
    assert gpus._has_encode_library() is there


def test_each_gpu_is_reported_with_its_limit_and_the_reason(tmp_path: Path):
    (line,) = gpus.gpu_findings(pools_of(tmp_path, GEFORCE))
    assert line.message.startswith("GPU 0: NVIDIA GeForce RTX 4070, driver 590.44")
    assert "limit 12 (driver 590.44 opens 12 sessions" in line.message
    (none,) = gpus.gpu_findings(pools_of(tmp_path, unavailable="no driver"))
    assert none.mark == "–" and "no driver" in none.message


@pytest.mark.parametrize(("is_forbidden", "count"), [(False, 1), (True, 0)])
def test_a_failed_gpu_is_a_problem_unless_it_is_not_ours_to_use(
    is_forbidden: bool, count: int, tmp_path: Path
):
    failed = FailedGpu(1, "GPU is lost", is_forbidden)
    inventory = GpuInventory((GEFORCE,), failed=(failed,))
    pools = Pools(
        tmp_path, nvenc_limit=0, cpu_limit=1, nvml=FakeNvml(GEFORCE), usable=lambda _: inventory
    )
    ProbeCache(tmp_path).store(
        gpus.NVENC_RUNGS[-1], GEFORCE, ProbeResult(works=True), quarantined=False
    )
    found = list(gpu_problems(pools, ProbeCache(tmp_path)))
    assert [each.message for each in found] == (
        ["GPU 1 can't be queried and is not used: GPU is lost"] * count
    )
