"""Encoder settings."""

import pytest

from metabonk.encoding.encoder import EncoderSettings


@pytest.mark.parametrize(("gop_s", "frames"), [(2.0, 60), (0.5, 15), (0.001, 1)])
def test_the_keyframe_interval_is_set_in_seconds_and_lasts_at_least_one_frame(
    gop_s: float, frames: int
):
    settings = EncoderSettings(width=64, height=64, fps=30, bitrate=100_000, gop_s=gop_s)
    assert settings.gop_frames == frames
