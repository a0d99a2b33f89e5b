"""The ladder: order, and a reason beside every rung that is out."""

import pytest

from metabonk.encoding.ladder import FrameKind, Proof, Situation, climb

NVENC, SOFTWARE = "av:h264_nvenc", "av:libx264"


def reasons(situation: Situation) -> dict[str, str | None]:
    return {step.rung.backend: step.refused for step in climb(situation)}


def test_hardware_comes_first():
    assert [step.rung.backend for step in climb(Situation())] == [NVENC, SOFTWARE]


def test_without_a_gpu_software_is_used_without_being_asked_for():
    refused = reasons(Situation(gpu_unavailable="no NVIDIA driver on this machine"))
    assert refused == {NVENC: "no NVIDIA driver on this machine", SOFTWARE: None}


def test_with_a_gpu_software_needs_the_users_word():
    refused = reasons(Situation())
    assert refused[NVENC] is None
    assert "METABONK_STREAM_ALLOW_CPU_FALLBACK=1" in (refused[SOFTWARE] or "")
    assert reasons(Situation(allow_cpu_fallback=True)) == {NVENC: None, SOFTWARE: None}


def test_a_gpu_without_an_encoder_does_not_forbid_software():
    proof = Proof(works=False, reason="the H200 has no encoder", hardware=False)
    assert reasons(Situation(proofs={NVENC: proof})) == {
        NVENC: "the H200 has no encoder",
        SOFTWARE: None,
    }


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


@pytest.mark.parametrize("backend", [NVENC, SOFTWARE])
def test_a_frame_on_the_gpu_is_not_fed_to_an_encoder_of_host_frames(backend: str):
    refused = reasons(Situation(frames=FrameKind.CUDA, allow_cpu_fallback=True))
    assert "cuda" in (refused[backend] or "")
