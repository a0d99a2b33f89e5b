"""One table for all versions of GStreamer."""

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
def test_nvidias_encoder_is_found_under_the_names_it_had(
    version: tuple[int, int], gpu: int, names: list[str]
):
    found = candidates(NVIDIA, version, SETTINGS, gpu, 1)
    assert [element.name for element in found] == names


@pytest.mark.parametrize("version", [(1, 22), (1, 24), (1, 26)])
def test_low_latency_is_asked_for_in_every_versions_words(version: tuple[int, int]):
    for element in candidates(NVIDIA, version, SETTINGS, 0, 1):
        set_ = dict(element.properties)
        assert set_["b-frames"] == set_["bframes"] == set_["rc-lookahead"] == 0
        assert set_["zerolatency"] == set_["zero-reorder-delay"] == "true"
        assert set_["rc-mode"] == set_["rate-control"] == "cbr"
        assert (set_["bitrate"], set_["vbv-buffer-size"], set_["gop-size"]) == (4000, 1000, 120)


def test_an_encoder_that_leaves_headers_out_gets_them_from_the_parser():
    newer, older = candidates(NVIDIA, (1, 24), SETTINGS, 0, 1)
    assert "h264parse" not in pipeline(newer, SETTINGS, cuda=False)
    assert "h264parse config-interval=-1" in pipeline(older, SETTINGS, cuda=False)
    for element in candidates(VA, (1, 24), SETTINGS, 0, 1):
        assert "h264parse config-interval=-1" in pipeline(element, SETTINGS, cuda=False)


def test_pictures_on_the_gpu_go_straight_into_the_encoder():
    element = candidates(NVIDIA, (1, 26), SETTINGS, 0, 1)[0]
    assert "convert" not in pipeline(element, SETTINGS, cuda=True)
    assert "format=NV12,width=1280,height=720" in pipeline(element, SETTINGS, cuda=False)


def test_software_has_the_threads_it_is_given():
    (element,) = candidates(SOFTWARE, (1, 22), SETTINGS, 0, 4)
    assert dict(element.properties)["threads"] == 4
