"""The ladder: order, and a reason beside every rung that is out."""

import pytest

from metabonk.encoding.ladder import FrameKind, Proof, Situation, climb

CUDA, GST = "gst:cuda_appsrc:nvh264enc", "gst:appsrc:nvh264enc"
AV_CUDA, NVENC, VA, SOFTWARE, GST_SOFTWARE = (
    "av:cuda:h264_nvenc",
    "av:h264_nvenc",
    "gst:appsrc:vah264enc",
    "av:libx264",
    "gst:appsrc:x264enc",
)


def reasons(situation: Situation) -> dict[str, str | None]:
    return {step.rung.backend: step.refused for step in climb(situation)}


def test_hardware_comes_first():
    assert [step.rung.backend for step in climb(Situation())] == [
        CUDA,
        GST,
        AV_CUDA,
        NVENC,
        VA,
        SOFTWARE,
        GST_SOFTWARE,
    ]


def test_without_a_gpu_software_is_used_without_being_asked_for():
    refused = reasons(Situation(no_nvenc="no NVIDIA driver on this machine"))
    assert [refused[rung] for rung in (CUDA, GST, NVENC)] == [
        "no NVIDIA driver on this machine"
    ] * 3
    assert [refused[rung] for rung in (VA, SOFTWARE, GST_SOFTWARE)] == [None] * 3


def test_with_a_gpu_software_needs_the_users_word():
    refused = reasons(Situation())
    assert refused[NVENC] is None
    assert "METABONK_STREAM_ALLOW_CPU_FALLBACK=1" in (refused[SOFTWARE] or "")
    assert refused[GST_SOFTWARE] == refused[SOFTWARE]
    assert refused[VA] is None
    assert set(reasons(Situation(allow_cpu_fallback=True)).values()) == {None}


def test_a_gpu_without_an_encoder_does_not_forbid_software():
    tried = Proof(works=False, reason="unsupported device (2)")
    situation = Situation(proofs={GST: tried}, no_nvenc="the H200 has no encoder")
    refused = reasons(situation)
    assert [refused[rung] for rung in (CUDA, NVENC)] == ["the H200 has no encoder"] * 2
    assert refused[GST] == "unsupported device (2)", "what was tried says more"
    assert refused[SOFTWARE] is None


def test_an_encoder_that_is_there_but_does_not_work_still_forbids_software():
    proof = Proof(works=False, reason="needs driver 570 or newer")
    refused = reasons(Situation(proofs={NVENC: proof}))
    assert refused[NVENC] == "needs driver 570 or newer"
    assert "METABONK_STREAM_ALLOW_CPU_FALLBACK" in (refused[SOFTWARE] or "")


def test_a_rung_that_broke_rests():
    refused = reasons(Situation(resting={NVENC: "it broke"}, allow_cpu_fallback=True))
    assert refused[NVENC] == "it broke"
    assert refused[SOFTWARE] is None


def test_a_missing_library_is_named():
    refused = reasons(Situation(missing={NVENC: "PyAV was built without h264_nvenc"}))
    assert refused[NVENC] == "PyAV was built without h264_nvenc"


@pytest.mark.parametrize("backend", [GST, NVENC, VA, SOFTWARE, GST_SOFTWARE])
def test_a_frame_on_the_gpu_is_not_fed_to_an_encoder_of_host_frames(backend: str):
    refused = reasons(Situation(frames=FrameKind.CUDA, allow_cpu_fallback=True))
    assert "cuda" in (refused[backend] or "")
    assert refused[CUDA] is None
