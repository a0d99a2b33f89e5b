"""FFmpeg's encoders, really opened: their threads, and their errors."""

import threading
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from metabonk.encoding.backends import av as backend
from metabonk.encoding.backends import make_encoder
from metabonk.encoding.backends.av import AvEncoder, HostConverter
from metabonk.encoding.encoder import EncoderSettings
from metabonk.errors import EncoderBroken, EncoderUnavailable
from metabonk.frame import Frame
from tests.support.frames import SETTINGS, noise


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


def test_a_repeated_frame_is_converted_once():
    convert = HostConverter(SETTINGS)
    frame = Frame(noise(0), 1.0)
    converted = convert(frame)
    assert convert(frame.repeat(2.0)) is converted
    assert convert(Frame(noise(1), 3.0)) is not converted


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 1), (8, 2), (64, 4)])
def test_a_small_machine_keeps_its_cores_for_games_and_learning(cores: int, threads: int):
    assert backend.encoder_threads(cores) == threads


def test_settings_rejected_by_the_encoder_are_explained():
    odd = EncoderSettings(width=321, height=180, fps=30, bitrate=1_000_000, gop_s=2.0)
    with pytest.raises(EncoderUnavailable, match=r"can't open libx264: .*not divisible") as refused:
        AvEncoder(odd, "libx264")
    assert refused.value.nvenc_code is None


def test_a_codec_missing_from_the_build_is_named():
    with pytest.raises(EncoderUnavailable, match="no encoder h264_nonsense"):
        AvEncoder(SETTINGS, "h264_nonsense")


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA GPU")
def test_nvenc_without_a_driver_names_the_missing_library():
    with pytest.raises(EncoderUnavailable, match=r"h264_nvenc: .*libcuda\.so\.1") as refused:
        make_encoder("av:h264_nvenc", SETTINGS, 0)
    assert refused.value.nvenc_code is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("OpenEncodeSessionEx failed: out of memory (10): (no details)", 10),
        ("OpenEncodeSessionEx failed: incompatible client key (21): (no details)", 21),
        ("OpenEncodeSessionEx failed: unsupported device (2): (no details)", 2),
    ],
)
def test_a_refused_session_carries_the_drivers_code(
    message: str, code: int, monkeypatch: pytest.MonkeyPatch
):
    def refuse() -> None:
        av.logging.log(av.logging.ERROR, "h264_nvenc", f"{message}\n")
        av.logging.log(av.logging.ERROR, "h264_nvenc", "No capable devices found\n")
        raise av.error.ExternalError(542398533, "Generic error in an external library")

    create = SimpleNamespace(create=lambda name, mode: SimpleNamespace(open=refuse))
    monkeypatch.setattr(backend, "CodecContext", create)
    # Twice, because FFmpeg's log could omit repeated messages.
    for _ in range(2):
        with pytest.raises(EncoderUnavailable, match="No capable devices found") as refused:
            AvEncoder(SETTINGS, "h264_nvenc")
        assert refused.value.nvenc_code == code


def test_an_unknown_engine_is_an_error():
    with pytest.raises(ValueError, match="ogg:theora"):
        make_encoder("ogg:theora", SETTINGS, 0)


def test_errors_that_ffmpeg_logs_in_other_threads_are_ignored():
    logged = threading.Thread(
        target=av.logging.log, args=(av.logging.ERROR, "libx264", "other thread\n")
    )
    with backend._ffmpeg_errors() as errors:
        logged.start()
        logged.join()
        av.logging.log(av.logging.ERROR, "libx264", "this thread\n")
    assert [message for _, _, message in errors] == ["this thread\n"]
