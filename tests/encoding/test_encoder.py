"""What every encoder is given."""

import pytest

from metabonk.encoding.encoder import EncoderSettings


@pytest.mark.parametrize(("gop_s", "frames"), [(2.0, 60), (0.5, 15), (0.001, 1)])
def test_the_distance_of_keyframes_is_given_in_seconds_and_is_at_least_a_frame(
    gop_s: float, frames: int
):
    settings = EncoderSettings(width=64, height=64, fps=30, bitrate=100_000, gop_s=gop_s)
    assert settings.gop_frames == frames
