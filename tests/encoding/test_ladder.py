"""The ladder: order, and a reason beside every rung that is out."""

import importlib.util
from pathlib import Path

import pytest

from metabonk.encoding import ladder as inventory
from metabonk.encoding.ladder import RUNGS, FrameKind, LadderContext, ProbeResult, climb

CUDA, GST = "gst:cuda_appsrc:nvh264enc", "gst:appsrc:nvh264enc"
AV_CUDA, NVENC, VA, SOFTWARE, GST_SOFTWARE = (
    "av:cuda:h264_nvenc",
    "av:h264_nvenc",
    "gst:appsrc:vah264enc",
    "av:libx264",
    "gst:appsrc:x264enc",
)


def reasons(situation: LadderContext) -> dict[str, str | None]:
    return {step.rung.backend: step.refused for step in climb(situation)}


def test_hardware_comes_first():
    assert [step.rung.backend for step in climb(LadderContext())] == [
        CUDA,
        GST,
        AV_CUDA,
        NVENC,
        VA,
        SOFTWARE,
        GST_SOFTWARE,
    ]


def test_without_a_gpu_software_is_used_without_being_asked_for():
    refused = reasons(LadderContext(no_nvenc="no NVIDIA driver on this machine"))
    assert [refused[rung] for rung in (CUDA, GST, NVENC)] == [
        "no NVIDIA driver on this machine"
    ] * 3
    assert [refused[rung] for rung in (VA, SOFTWARE, GST_SOFTWARE)] == [None] * 3


def test_with_a_gpu_software_needs_the_users_word():
    refused = reasons(LadderContext())
    assert refused[NVENC] is None
    assert "METABONK_STREAM_ALLOW_CPU_FALLBACK=1" in (refused[SOFTWARE] or "")
    assert refused[GST_SOFTWARE] == refused[SOFTWARE]
    assert refused[VA] is None
    assert set(reasons(LadderContext(allow_cpu_fallback=True)).values()) == {None}


def test_a_gpu_without_an_encoder_does_not_forbid_software():
    tried = ProbeResult(works=False, reason="unsupported device (2)")
    situation = LadderContext(proofs={GST: tried}, no_nvenc="the H200 has no encoder")
    refused = reasons(situation)
    assert [refused[rung] for rung in (CUDA, NVENC)] == ["the H200 has no encoder"] * 2
    assert refused[GST] == "unsupported device (2)", "what was tried says more"
    assert refused[SOFTWARE] is None


def test_an_encoder_that_is_there_but_does_not_work_still_forbids_software():
    proof = ProbeResult(works=False, reason="needs driver 570 or newer")
    refused = reasons(LadderContext(proofs={NVENC: proof}))
    assert refused[NVENC] == "needs driver 570 or newer"
    assert "METABONK_STREAM_ALLOW_CPU_FALLBACK" in (refused[SOFTWARE] or "")


def test_a_rung_that_broke_rests():
    refused = reasons(LadderContext(resting={NVENC: "it broke"}, allow_cpu_fallback=True))
    assert refused[NVENC] == "it broke"
    assert refused[SOFTWARE] is None


def test_a_missing_library_is_named():
    refused = reasons(LadderContext(missing={NVENC: "PyAV was built without h264_nvenc"}))
    assert refused[NVENC] == "PyAV was built without h264_nvenc"


@pytest.mark.parametrize("backend", [GST, NVENC, VA, SOFTWARE, GST_SOFTWARE])
def test_a_frame_on_the_gpu_is_not_fed_to_an_encoder_of_host_frames(backend: str):
    refused = reasons(LadderContext(frames=FrameKind.CUDA, allow_cpu_fallback=True))
    assert "cuda" in (refused[backend] or "")
    assert refused[CUDA] is None


CUDA, GST, VA = "gst:cuda_appsrc:nvh264enc", "gst:appsrc:nvh264enc", "gst:appsrc:vah264enc"

AV_CUDA = "av:cuda:h264_nvenc"


@pytest.mark.parametrize("engine", ["av", "gst"])
def test_a_chosen_engine_leaves_the_other_out(engine: str):
    out = inventory.missing(engine)
    for rung in RUNGS:
        if not rung.backend.startswith(f"{engine}:"):
            assert out[rung.backend] == f"stream.engine is {engine!r}"


def test_without_the_bindings_the_command_that_adds_them_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(inventory, "version", lambda name: "2.13.0+cu130")
    out = inventory.missing()
    assert "pip install 'metabonk[gst]'" in out[GST]
    assert {backend.partition(":")[0] for backend in out} == {"gst"}


def test_frames_on_the_gpu_need_a_pytorch_with_cuda(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(inventory, "version", lambda name: "2.13.0+cpu")
    assert "without CUDA" in inventory.missing()[CUDA]
    assert "without CUDA" in inventory.missing()[AV_CUDA]
    monkeypatch.setattr(inventory, "version", lambda name: "2.13.0+cu130")
    assert inventory.missing().keys().isdisjoint({CUDA, AV_CUDA})


def test_va_api_needs_a_render_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(inventory, "RENDER_NODES", tmp_path / "none")
    assert "no GPU that VA-API could use" in inventory.missing()[VA]
    monkeypatch.setattr(inventory, "RENDER_NODES", tmp_path)
    assert VA not in inventory.missing()
