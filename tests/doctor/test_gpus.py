"""What keeps NVENC from being used, each cause in turn, and what is no cause to act."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from metabonk.doctor import gpus
from metabonk.doctor.gpus import gpu_problems
from metabonk.doctor.host import Finding
from metabonk.encoding.ladder import ProbeResult
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions.nvml import Gpu
from tests.support.machines import GEFORCE, H100, pools_of

Examined = Callable[..., list[Finding]]


@pytest.fixture
def examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examined:
    """What is found on such a machine."""

    def examine(
        *cards: Gpu,
        proof: ProbeResult | None = None,
        library: bool = True,
        container: bool = False,
        device: bool = True,
        unavailable: str | None = None,
        lacks_encoder: bool = False,
    ) -> list[Finding]:
        monkeypatch.setattr(gpus, "_has_encode_library", lambda: library)
        monkeypatch.setattr(gpus, "in_container", lambda: container)
        monkeypatch.setattr(gpus, "DEVICE", tmp_path if device else tmp_path / "nowhere")
        proofs = ProbeCache(tmp_path)
        if proof is not None:
            proofs.keep(gpus.NVENC[-1], cards[0], proof, quarantined=False)
        pools = pools_of(tmp_path, *cards, unavailable=unavailable)
        if lacks_encoder:
            pools.learn_that_there_is_no_encoder(cards[0].index)
        return list(gpu_problems(pools, proofs))

    return examine


def test_a_card_that_can_encode_is_no_problem(examined: Examined):
    assert examined(GEFORCE) == []
    assert examined(GEFORCE, proof=ProbeResult(works=True)) == []
    assert examined() == []


def test_a_container_without_the_video_capability_gets_it_named(examined: Examined):
    (found,) = examined(GEFORCE, library=False, container=True)
    assert "libnvidia-encode.so.1 is missing" in found.what
    assert found.do == f"start the container with {gpus.CAPABILITIES}"
    assert "video" in gpus.CAPABILITIES


def test_outside_of_a_container_the_package_is_named(examined: Examined):
    (found,) = examined(GEFORCE, library=False)
    assert "libnvidia-encode1" in (found.do or "")


def test_an_encoder_that_a_container_may_not_use_is_told_and_one_that_is_not_there_is_not(
    examined: Examined,
):
    (found,) = examined(GEFORCE, lacks_encoder=True, container=True)
    assert "code 2" in found.what and gpus.CAPABILITIES in (found.do or "")
    assert examined(GEFORCE, lacks_encoder=True) == []


@pytest.mark.parametrize("name", ["NVIDIA H200", "NVIDIA A100-SXM4-40GB", H100.name])
def test_nothing_helps_a_card_that_has_no_encoder(examined: Examined, name: str):
    card = replace(H100, name=name, driver="550.54")
    assert examined(card, lacks_encoder=True, library=False, container=True) == []


def test_a_driver_too_old_for_ffmpeg_is_told_unless_something_encodes_all_the_same(
    examined: Examined,
):
    old = replace(GEFORCE, driver="550.54.14")
    (found,) = examined(old)
    assert "driver 550.54.14" in found.what and "570 or newer" in found.what
    assert "update the driver" in (found.do or "")
    assert examined(old, proof=ProbeResult(works=True)) == []


def test_a_driver_that_does_not_answer_is_told_where_there_is_a_gpu(examined: Examined):
    reason = "the NVIDIA driver does not answer: Driver/library version mismatch"
    (found,) = examined(unavailable=reason)
    assert reason in found.what and "reboot" in (found.do or "")
    (found,) = examined(unavailable=reason, container=True)
    assert "utility" in (found.do or "")
    assert examined(unavailable="no NVIDIA driver on this machine", device=False) == []


def test_gpus_that_the_user_has_hidden_are_no_problem(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert examined(unavailable="every GPU is hidden by CUDA_VISIBLE_DEVICES") == []


@pytest.fixture
def _fresh() -> Iterator[None]:
    gpus._has_encode_library.cache_clear()
    yield
    gpus._has_encode_library.cache_clear()


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize(("library", "there"), [("libc.so.6", True), ("libnone.so.1", False)])
def test_the_library_is_looked_for_as_programs_find_it(
    monkeypatch: pytest.MonkeyPatch, library: str, there: bool
):
    monkeypatch.setattr(gpus, "ENCODE_LIBRARY", library)
    assert gpus._has_encode_library() is there


def test_each_gpu_has_a_line_with_its_limit_and_how_that_is_known(tmp_path: Path):
    (line,) = gpus.gpus(pools_of(tmp_path, GEFORCE))
    assert line.what.startswith("GPU 0: NVIDIA GeForce RTX 4070, driver 590.44")
    assert "limit 12 (driver 590.44 opens 12 sessions" in line.what
    (none,) = gpus.gpus(pools_of(tmp_path, unavailable="no driver"))
    assert none.mark == "–" and "no driver" in none.what
