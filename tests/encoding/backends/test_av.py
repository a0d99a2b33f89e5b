"""FFmpeg's encoders, really opened, and held against FFmpeg's decoder."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.backends import av as backend
from metabonk.encoding.backends import make_encoder
from metabonk.encoding.backends.av import AvEncoder
from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.frame import Frame
from metabonk.errors import EncoderBroken, EncoderUnavailable

SETTINGS = EncoderSettings(width=320, height=180, fps=30, bitrate=1_000_000, gop_s=2.0)
SEQUENCE, PICTURE, IDR = 7, 8, 5


@pytest.fixture
def encoder() -> Iterator[AvEncoder]:
    opened = AvEncoder(SETTINGS, "libx264")
    yield opened
    opened.close()


def flat(colour: tuple[int, int, int], width: int = 320, height: int = 180) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def noise(number: int, width: int = 320, height: int = 180) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


def encode(
    encoder: AvEncoder, pictures: Iterable[NDArray[np.uint8]], keyframes: tuple[int, ...] = ()
) -> list[AccessUnit]:
    return [
        unit
        for i, pixels in enumerate(pictures)
        for unit in encoder.encode(Frame(pixels, 100 + i / 30), keyframe=i in keyframes)
    ]


def decode(units: list[AccessUnit]) -> list[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))]
    return frames + decoder.decode(None)


def kinds(unit: AccessUnit) -> list[int]:
    return [part[0] & 31 for part in unit.data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]


def test_every_frame_comes_out_at_once_with_its_own_time(encoder: AvEncoder):
    at = 1234.5
    for number, step in enumerate([0.0, 1 / 30, 0.0001, 0.2, 1e-7, 1 / 30]):
        at += step
        units = encoder.encode(Frame(noise(number), at), keyframe=False)
        assert [unit.captured_at for unit in units] == [at]


def test_it_starts_with_a_keyframe_and_makes_one_when_asked(encoder: AvEncoder):
    units = encode(encoder, [noise(i) for i in range(12)], keyframes=(5, 6))
    assert [i for i, unit in enumerate(units) if unit.keyframe] == [0, 5, 6]


def test_every_keyframe_is_an_idr_picture_behind_its_parameter_sets(encoder: AvEncoder):
    for unit in encode(encoder, [noise(i) for i in range(8)], keyframes=(4,)):
        found = kinds(unit)
        assert (IDR in found) == unit.keyframe
        if unit.keyframe:
            assert found.index(SEQUENCE) < found.index(PICTURE) < found.index(IDR)


def test_keyframes_come_by_themselves_after_the_longest_distance():
    settings = EncoderSettings(width=64, height=64, fps=30, bitrate=500_000, gop_s=0.5)
    encoder = AvEncoder(settings, "libx264")
    units = encode(encoder, [noise(i, 64, 64) for i in range(40)])
    encoder.close()
    assert [i for i, unit in enumerate(units) if unit.keyframe] == [0, 15, 30]


def test_a_decoder_that_starts_at_a_later_keyframe_sees_the_same(encoder: AvEncoder):
    units = encode(encoder, [noise(i) for i in range(10)], keyframes=(5,))
    whole, late = decode(units), decode(units[5:])
    assert len(whole) == 10 and len(late) == 5
    assert np.array_equal(whole[-1].to_ndarray(), late[-1].to_ndarray())


@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]
)
def test_colours_survive_and_the_stream_says_which_they_are(
    encoder: AvEncoder, colour: tuple[int, int, int]
):
    frame = decode(encode(encoder, [flat(colour)] * 4))[-1]
    limited, bt709, srgb = 1, 1, 13
    assert (frame.color_range, frame.colorspace) == (limited, bt709)
    assert (frame.color_primaries, frame.color_trc) == (bt709, srgb)
    # A decoder that trusts the stream's own words, as browsers do, gets the colour back.
    assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - colour).max() <= 4


def test_a_frame_of_another_size_is_scaled_to_the_streams(encoder: AvEncoder):
    small = flat((10, 10, 10), 160, 90)
    small[:, 80:] = 240
    frame = decode(encode(encoder, [small, small]))[-1]
    shown = frame.to_ndarray(format="rgb24")
    assert shown.shape == (180, 320, 3)
    assert shown[:, :150].mean() < 20 and shown[:, 170:].mean() > 230


def test_a_frame_that_is_a_view_is_taken_as_it_is_seen(encoder: AvEncoder):
    bright_left = flat((10, 10, 10))
    bright_left[:, :160] = 240
    shown = decode(encode(encoder, [bright_left[:, ::-1]]))[-1].to_ndarray(format="rgb24")
    assert shown[:, :150].mean() < 20 and shown[:, 170:].mean() > 230


def test_it_is_constrained_baseline_without_reordering(encoder: AvEncoder):
    units = encode(encoder, [noise(i) for i in range(3)])
    sequence = units[0].data.split(b"\0\0\1", 2)[1]
    baseline, constraint_set1 = 66, 0x40
    assert sequence[0] & 31 == SEQUENCE and sequence[1] == baseline
    assert sequence[2] & constraint_set1


def test_a_keyframe_of_a_busy_picture_is_no_burst():
    settings = EncoderSettings(width=640, height=360, fps=30, bitrate=1_500_000, gop_s=1.0)
    encoder = AvEncoder(settings, "libx264")
    busy = [np.roll(noise(1, 640, 360), 5 * i, axis=1) for i in range(90)]
    units = encode(encoder, busy)
    encoder.close()
    largest = max(len(unit.data) * 8 for unit in units[30:])
    assert largest <= settings.bitrate * backend.BUFFER_S * 1.1
    rate = sum(len(unit.data) * 8 for unit in units[30:]) / 2
    assert rate <= settings.bitrate * 1.1


def test_closing_frees_the_session_at_once_even_after_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backend, "available_cores", lambda: 8)

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    encoder = AvEncoder(SETTINGS, "libx264")
    assert threads() > before
    assert encoder._context is not None
    encoder._context.encode(None)
    with pytest.raises(EncoderBroken, match="av:libx264 stopped working: End of file") as broken:
        encoder.encode(Frame(noise(0), 1.0), keyframe=False)
    encoder.close()
    assert threads() == before
    assert broken.value.__cause__ is not None
    encoder.close()
    with pytest.raises(EncoderBroken, match="closed"):
        encoder.encode(Frame(noise(0), 2.0), keyframe=False)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 1), (8, 2), (64, 4)])
def test_a_small_machine_keeps_its_cores_for_playing_and_learning(cores: int, threads: int):
    assert backend.threads_of(cores) == threads


def test_settings_that_the_encoder_refuses_are_explained():
    odd = EncoderSettings(width=321, height=180, fps=30, bitrate=1_000_000, gop_s=2.0)
    with pytest.raises(EncoderUnavailable, match=r"can't open libx264: .*not divisible") as refused:
        AvEncoder(odd, "libx264")
    assert refused.value.nvenc_code is None


def test_a_codec_that_the_build_lacks_is_named():
    with pytest.raises(EncoderUnavailable, match="no encoder h264_nonsense"):
        AvEncoder(SETTINGS, "h264_nonsense")


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA GPU")
def test_nvenc_on_a_machine_without_a_driver_says_what_is_missing():
    with pytest.raises(EncoderUnavailable, match=r"h264_nvenc: .*libcuda\.so\.1") as refused:
        make_encoder("av:h264_nvenc", SETTINGS, 0)
    assert refused.value.nvenc_code is None


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("OpenEncodeSessionEx failed: out of memory (10): (no details)", 10),
        ("OpenEncodeSessionEx failed: incompatible client key (21): (no details)", 21),
        ("OpenEncodeSessionEx failed: unsupported device (2): (no details)", 2),
    ],
)
def test_a_refused_session_carries_the_drivers_code(
    said: str, code: int, monkeypatch: pytest.MonkeyPatch
):
    def refuse() -> None:
        av.logging.log(av.logging.ERROR, "h264_nvenc", f"{said}\n")
        av.logging.log(av.logging.ERROR, "h264_nvenc", "No capable devices found\n")
        raise av.error.ExternalError(542398533, "Generic error in an external library")

    create = SimpleNamespace(create=lambda name, mode: SimpleNamespace(open=refuse))
    monkeypatch.setattr(backend, "CodecContext", create)
    # Twice, as FFmpeg's log could leave out what repeats.
    for _ in range(2):
        with pytest.raises(EncoderUnavailable, match="No capable devices found") as refused:
            AvEncoder(SETTINGS, "h264_nvenc")
        assert refused.value.nvenc_code == code


def test_the_factory_knows_no_other_engine():
    with pytest.raises(ValueError, match="gst:nvh264enc"):
        make_encoder("gst:nvh264enc", SETTINGS, 0)


def test_what_ffmpeg_says_in_one_thread_is_not_taken_for_an_error_of_another():
    logged = threading.Thread(
        target=av.logging.log, args=(av.logging.ERROR, "libx264", "of another thread\n")
    )
    with backend._errors_of_ffmpeg() as errors:
        logged.start()
        logged.join()
        av.logging.log(av.logging.ERROR, "libx264", "of this thread\n")
    assert [message for _, _, message in errors] == ["of this thread\n"]
