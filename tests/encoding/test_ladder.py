"""The ladder: its order, and a reason for every refused rung."""

import importlib.util
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from metabonk.encoding import ladder
from metabonk.encoding.ladder import (
    RUNGS,
    FrameKind,
    LadderContext,
    ProbeResult,
    evaluate,
    unavailable,
)

CUDA, GST, AV_CUDA, NVENC, VA, SOFTWARE, GST_SOFTWARE = (
    "gst:cuda_appsrc:nvh264enc",
    "gst:appsrc:nvh264enc",
    "av:cuda:h264_nvenc",
    "av:h264_nvenc",
    "gst:appsrc:vah264enc",
    "av:libx264",
    "gst:appsrc:x264enc",
)


def refusals(context: LadderContext) -> dict[str, str | None]:
    return {status.rung.backend: status.refusal for status in evaluate(context)}


def test_hardware_comes_first():
    order = [CUDA, GST, AV_CUDA, NVENC, VA, SOFTWARE, GST_SOFTWARE]
    assert [status.rung.backend for status in evaluate(LadderContext())] == order


def test_without_a_gpu_software_is_used_by_default():
    refused = refusals(LadderContext(no_nvenc="no NVIDIA driver on this machine"))
    reasons = {refused[rung] for rung in (CUDA, GST, NVENC)}
    assert reasons == {"no NVIDIA driver on this machine"}
    assert [refused[rung] for rung in (VA, SOFTWARE, GST_SOFTWARE)] == [None] * 3


def test_with_a_gpu_software_requires_permission():
    refused = refusals(LadderContext())
    assert refused[NVENC] is None
    assert "METABONK_STREAM_ALLOW_CPU_FALLBACK=1" in (refused[SOFTWARE] or "")
    assert refused[GST_SOFTWARE] == refused[SOFTWARE]
    assert refused[VA] is None
    assert set(refusals(LadderContext(allow_cpu_fallback=True)).values()) == {None}


def test_a_gpu_without_an_encoder_does_not_forbid_software():
    failed = ProbeResult(works=False, reason="unsupported device (2)")
    refused = refusals(LadderContext(probes={GST: failed}, no_nvenc="the H200 has no encoder"))
    assert [refused[rung] for rung in (CUDA, NVENC)] == ["the H200 has no encoder"] * 2
    assert refused[GST] == "unsupported device (2)", "the probe's reason is more specific"
    assert refused[SOFTWARE] is None


def test_an_existing_encoder_that_does_not_work_still_forbids_software():
    failed = ProbeResult(works=False, reason="needs driver 570 or newer")
    refused = refusals(LadderContext(probes={NVENC: failed}))
    assert refused[NVENC] == "needs driver 570 or newer"
    assert "METABONK_STREAM_ALLOW_CPU_FALLBACK" in (refused[SOFTWARE] or "")


def test_a_broken_rung_is_refused_while_it_backs_off():
    refused = refusals(LadderContext(backing_off={NVENC: "it broke"}, allow_cpu_fallback=True))
    assert refused[NVENC] == "it broke"
    assert refused[SOFTWARE] is None


def test_a_missing_library_is_named():
    refused = refusals(LadderContext(unavailable={NVENC: "PyAV was built without h264_nvenc"}))
    assert refused[NVENC] == "PyAV was built without h264_nvenc"


@pytest.mark.parametrize("backend", [GST, NVENC, VA, SOFTWARE, GST_SOFTWARE])
def test_a_frame_in_cuda_memory_is_refused_by_encoders_of_host_frames(backend: str):
    refused = refusals(LadderContext(frames=FrameKind.CUDA, allow_cpu_fallback=True))
    assert "cuda" in (refused[backend] or "")
    assert refused[CUDA] is None


@pytest.mark.parametrize("engine", ["av", "gst"])
def test_a_selected_engine_excludes_the_other(engine: str):
    reasons = unavailable(engine)
    for rung in RUNGS:
        if not rung.backend.startswith(f"{engine}:"):
            assert reasons[rung.backend] == f"stream.engine is {engine!r}"


def test_without_the_bindings_the_command_that_installs_them_is_named(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(ladder, "version", lambda name: "2.13.0+cu130")
    reasons = unavailable()
    assert "pip install '.[gst]'" in reasons[GST]
    assert {backend.partition(":")[0] for backend in reasons} == {"gst"}


def test_frames_in_cuda_memory_need_a_pytorch_with_cuda(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(ladder, "version", lambda name: "2.13.0+cpu")
    assert "without CUDA" in unavailable()[CUDA]
    assert "without CUDA" in unavailable()[AV_CUDA]
    monkeypatch.setattr(ladder, "version", lambda name: "2.13.0+cu130")
    assert unavailable().keys().isdisjoint({CUDA, AV_CUDA})


def test_frames_in_cuda_memory_need_pytorch(monkeypatch: pytest.MonkeyPatch):
    def no_package(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(ladder, "version", no_package)
    assert "pip install 'metabonk[train]'" in unavailable()[CUDA]
    assert "not installed" in unavailable()[AV_CUDA]


def test_va_api_needs_a_render_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(ladder, "RENDER_NODES", tmp_path / "none")
    assert "no GPU for VA-API" in unavailable()[VA]
    monkeypatch.setattr(ladder, "RENDER_NODES", tmp_path)
    assert VA not in unavailable()
