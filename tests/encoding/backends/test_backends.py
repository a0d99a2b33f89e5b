"""Behaviour common to all encoders, really opened and checked with FFmpeg's decoder.

Runs the software encoders, or NVENC's if the simulated driver is in the environment
(``test_nvenc``).
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.backends import make_encoder
from metabonk.encoding.encoder import BUFFER_S, Encoder, EncoderSettings
from metabonk.encoding.ladder import RUNGS, PoolKind
from metabonk.errors import EncoderBroken, EncoderUnavailable
from metabonk.frame import Frame
from tests.support.frames import SETTINGS, noise
from tests.support.gstreamer import require_gstreamer
from tests.support.nvsim import as_torch_device

SPS, PPS, IDR = 7, 8, 5


SOFTWARE = ["av:libx264", "gst:appsrc:x264enc"]
NVENC = [rung.backend for rung in RUNGS if rung.pool_kind is PoolKind.NVENC]


@pytest.fixture(params=NVENC if "NVSIM_DIR" in os.environ else SOFTWARE)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name.startswith("gst:"):
        require_gstreamer()
    if "cuda" in name:
        as_torch_device.install()
    return name


@pytest.fixture
def encoder(backend: str) -> Iterator[Encoder]:
    opened = make_encoder(backend, SETTINGS, 0)
    yield opened
    opened.close()


def flat(colour: tuple[int, int, int], width: int = 320, height: int = 180) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def encode(
    encoder: Encoder, images: Iterable[NDArray[np.uint8]], keyframes: tuple[int, ...] = ()
) -> list[AccessUnit]:
    return [
        unit
        for i, pixels in enumerate(images)
        for unit in encoder.encode(Frame(pixels, 100 + i / 30), keyframe=i in keyframes)
    ]


def decode(units: list[AccessUnit]) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))]
    return frames + decoder.decode(None)


def nal_types(unit: AccessUnit) -> list[int]:
    return [part[0] & 31 for part in unit.data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]


def test_every_frame_comes_out_at_once_with_its_own_capture_time(encoder: Encoder):
    at = 1234.5
    for number, step in enumerate([0.0, 1 / 30, 0.0001, 0.2, 1e-7, 1 / 30]):
        at += step
        units = encoder.encode(Frame(noise(number), at), keyframe=False)
        assert [unit.captured_at for unit in units] == [at]


def test_it_starts_with_a_keyframe_and_makes_others_on_request(encoder: Encoder):
    units = encode(encoder, [noise(i) for i in range(12)], keyframes=(5, 6))
    assert [i for i, unit in enumerate(units) if unit.keyframe] == [0, 5, 6]


def test_every_keyframe_is_an_idr_picture_after_its_parameter_sets(encoder: Encoder):
    for unit in encode(encoder, [noise(i) for i in range(8)], keyframes=(4,)):
        found = nal_types(unit)
        assert (IDR in found) == unit.keyframe
        if unit.keyframe:
            assert found.index(SPS) < found.index(PPS) < found.index(IDR)


def test_keyframes_come_at_the_latest_after_the_maximum_interval(backend: str):
    settings = EncoderSettings(width=64, height=64, fps=30, bitrate=500_000, gop_s=0.5)
    encoder = make_encoder(backend, settings, 0)
    units = encode(encoder, [noise(i, 64, 64) for i in range(40)])
    encoder.close()
    assert [i for i, unit in enumerate(units) if unit.keyframe] == [0, 15, 30]


def test_a_decoder_that_starts_at_a_later_keyframe_gets_the_same_frames(encoder: Encoder):
    units = encode(encoder, [noise(i) for i in range(10)], keyframes=(5,))
    whole, late = decode(units), decode(units[5:])
    assert len(whole) == 10 and len(late) == 5
    assert np.array_equal(whole[-1].to_ndarray(), late[-1].to_ndarray())


@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]
)
def test_colours_survive_and_the_stream_describes_them(
    encoder: Encoder, colour: tuple[int, int, int]
):
    frame = decode(encode(encoder, [flat(colour)] * 4))[-1]
    limited, bt709, srgb = 1, 1, 13
    assert (frame.color_range, frame.colorspace) == (limited, bt709)
    assert (frame.color_primaries, frame.color_trc) == (bt709, srgb)
    # A decoder that trusts the stream's description, as browsers do, restores the colour.
    assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - colour).max() <= 4


def test_a_frame_of_another_size_is_scaled_to_the_streams(encoder: Encoder):
    small = flat((10, 10, 10), 160, 90)
    small[:, 80:] = 240
    frame = decode(encode(encoder, [small, small]))[-1]
    shown = frame.to_ndarray(format="rgb24")
    assert shown.shape == (180, 320, 3)
    assert shown[:, :150].mean() < 20 and shown[:, 170:].mean() > 230


def test_a_frame_that_is_a_strided_view_is_encoded_correctly(encoder: Encoder):
    bright_left = flat((10, 10, 10))
    bright_left[:, :160] = 240
    shown = decode(encode(encoder, [bright_left[:, ::-1]]))[-1].to_ndarray(format="rgb24")
    assert shown[:, :150].mean() < 20 and shown[:, 170:].mean() > 230


def test_a_frame_uploaded_before_is_not_uploaded_again_for_an_encoder_on_the_gpu(
    encoder: Encoder, backend: str
):
    """The upload is altered, which shows whether the encoder used it."""
    units = []
    for number in range(3):
        # A view, so that the upload is a copy even on the CPU.
        frame = Frame(flat((10, 10, 10))[:, ::-1], number / 30)
        frame.on(torch.device("cpu", 0)).fill_(240)
        units += encoder.encode(frame, keyframe=False)
    shown = decode(units)[-1].to_ndarray(format="rgb24")
    assert (shown.mean() > 200) == ("cuda" in backend)


def test_it_is_constrained_baseline_without_reordering(encoder: Encoder):
    units = encode(encoder, [noise(i) for i in range(3)])
    sequence = units[0].data.split(b"\0\0\1", 2)[1]
    baseline, constraint_set1 = 66, 0x40
    assert sequence[0] & 31 == SPS and sequence[1] == baseline
    assert sequence[2] & constraint_set1


def test_a_keyframe_of_a_busy_frame_fits_the_rate_control_buffer(backend: str):
    settings = EncoderSettings(width=640, height=360, fps=30, bitrate=1_500_000, gop_s=1.0)
    encoder = make_encoder(backend, settings, 0)
    busy = [np.roll(noise(1, 640, 360), 5 * i, axis=1) for i in range(90)]
    units = encode(encoder, busy)
    encoder.close()
    largest = max(len(unit.data) * 8 for unit in units[30:])
    assert largest <= settings.bitrate * BUFFER_S * 1.1
    rate = sum(len(unit.data) * 8 for unit in units[30:]) / 2
    assert rate <= settings.bitrate * 1.1


@pytest.mark.parametrize("width", [161, 162, 163])
def test_a_width_whose_rows_need_padding_is_not_skewed(encoder: Encoder, width: int):
    half = flat((10, 10, 10), width, 90)
    half[:, width // 2 :] = 240
    shown = decode(encode(encoder, [half, half]))[-1].to_ndarray(format="rgb24")
    assert shown[:, :150].mean() < 20 and shown[:, 170:].mean() > 230


def test_a_closed_encoder_raises_and_may_be_closed_again(encoder: Encoder, backend: str):
    encode(encoder, [noise(0)])
    encoder.close()
    encoder.close()
    with pytest.raises(EncoderBroken, match=f"{backend} is closed"):
        encoder.encode(Frame(noise(1), 2.0), keyframe=False)


def test_an_odd_size_is_refused_on_opening(backend: str):
    with pytest.raises(EncoderUnavailable) as refused:
        make_encoder(backend, replace(SETTINGS, width=321), 0)
    assert refused.value.nvenc_code is None
