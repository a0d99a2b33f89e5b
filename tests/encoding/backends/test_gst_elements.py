"""Pipelines for every version of GStreamer."""

import pytest

from metabonk.encoding.backends.gst_elements import NVIDIA, SOFTWARE, VA, candidates, pipeline
from metabonk.encoding.encoder import EncoderSettings

SETTINGS = EncoderSettings(width=1280, height=720, fps=60, bitrate=4_000_000, gop_s=2.0)


@pytest.mark.parametrize(
    ("version", "gpu", "names"),
    [
        ((1, 22), 0, ["nvcudah264enc", "nvh264enc"]),
        ((1, 24), 0, ["nvcudah264enc", "nvh264enc"]),
        ((1, 24), 1, ["nvcudah264device1enc", "nvh264device1enc"]),
        ((1, 26), 0, ["nvh264enc"]),
        ((1, 28), 2, ["nvh264device2enc"]),
    ],
)
def test_nvidias_encoder_is_found_by_its_name_in_each_version(
    version: tuple[int, int], gpu: int, names: list[str]
):
    found = candidates(NVIDIA, version, SETTINGS, gpu, 1)
    assert [element.name for element in found] == names


@pytest.mark.parametrize("version", [(1, 22), (1, 24), (1, 26)])
def test_low_latency_is_set_in_every_versions_properties(version: tuple[int, int]):
    for element in candidates(NVIDIA, version, SETTINGS, 0, 1):
        properties = dict(element.properties)
        assert properties["b-frames"] == properties["bframes"] == properties["rc-lookahead"] == 0
        assert properties["zerolatency"] == properties["zero-reorder-delay"] == "true"
        assert properties["rc-mode"] == properties["rate-control"] == "cbr"
        assert (properties["bitrate"], properties["vbv-buffer-size"], properties["gop-size"]) == (
            4000,
            1000,
            120,
        )


def test_an_encoder_that_omits_parameter_sets_gets_them_from_the_parser():
    current, legacy = candidates(NVIDIA, (1, 24), SETTINGS, 0, 1)
    assert "h264parse" not in pipeline(current, SETTINGS, cuda=False)
    assert "h264parse config-interval=-1" in pipeline(legacy, SETTINGS, cuda=False)
    for element in candidates(VA, (1, 24), SETTINGS, 0, 1):
        assert "h264parse config-interval=-1" in pipeline(element, SETTINGS, cuda=False)


def test_frames_in_cuda_memory_go_straight_to_the_encoder():
    element = candidates(NVIDIA, (1, 26), SETTINGS, 0, 1)[0]
    assert "convert" not in pipeline(element, SETTINGS, cuda=True)
    assert "format=NV12,width=1280,height=720" in pipeline(element, SETTINGS, cuda=False)


def test_the_software_encoder_uses_the_given_number_of_threads():
    (element,) = candidates(SOFTWARE, (1, 22), SETTINGS, 0, 4)
    assert dict(element.properties)["threads"] == 4
