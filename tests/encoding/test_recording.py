"""Frames recorded to an MP4 file."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.encoding.recording import Recording
from metabonk.errors import EncodingError
from metabonk.frame import Frame


def solid(red: int, width: int = 64, height: int = 36) -> Frame:
    return Frame(np.full((height, width, 3), (red, 40, 200), np.uint8), 0.0)


def decoded(file: Path) -> tuple[float, list[NDArray[np.uint8]]]:
    with av.open(file) as container:
        rate = container.streams.video[0].average_rate
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return float(rate or 0), frames


def test_every_frame_is_decoded_at_its_rate_and_in_its_colours(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    with Recording(file, fps=35) as recording:
        for red in range(0, 200, 20):
            recording.add(solid(red))
    rate, frames = decoded(file)
    assert rate == 35
    assert len(frames) == recording.frames == 10
    for red, frame in zip(range(0, 200, 20), frames, strict=True):
        assert np.abs(frame.mean((0, 1)) - (red, 40, 200)).max() < 8
    assert list(tmp_path.iterdir()) == [file]


def test_an_odd_size_becomes_even_and_a_change_of_size_is_scaled(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    with Recording(file, fps=30) as recording:
        recording.add(solid(100, 65, 37))
        recording.add(solid(100, 128, 72))
    assert {frame.shape for frame in decoded(file)[1]} == {(36, 64, 3)}


def test_frames_recorded_before_an_interruption_are_kept(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    with pytest.raises(KeyboardInterrupt), Recording(file, fps=30) as recording:
        recording.add(solid(100))
        raise KeyboardInterrupt
    assert len(decoded(file)[1]) == 1


def test_a_recording_without_frames_leaves_no_file(tmp_path: Path):
    with Recording(tmp_path / "episode.mp4", fps=30):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error_that_names_the_file(tmp_path: Path):
    with pytest.raises(EncodingError, match=r"nowhere/episode\.mp4 can't be written: No such file"):
        Recording(tmp_path / "nowhere" / "episode.mp4", fps=30)


def test_a_full_disk_is_an_error_and_leaves_the_earlier_file(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    file.write_bytes(b"earlier")
    (tmp_path / "episode.mp4.partial").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 256, (60, 360, 640, 3), np.uint8)
    with (
        pytest.raises(EncodingError, match="can't be written: No space left"),
        Recording(file, fps=30) as recording,
    ):
        for pixels in noise:
            recording.add(Frame(pixels, 0.0))
    assert file.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [file]
