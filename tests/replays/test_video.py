"""MP4 files that play while they grow."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.errors import EncodingError
from metabonk.frame import Frame
from metabonk.replays.video import ReplayVideo

SIZE = 64, 36


def solid(red: int, width: int = 64, height: int = 36) -> Frame:
    return Frame(np.full((height, width, 3), (red, 40, 200), np.uint8), 0.0)


def decoded(file: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    with av.open(file) as container:
        return [
            (frame.time or 0.0, frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]


def probed(file: Path, *entries: str) -> Any:
    command = ["ffprobe", "-v", "error", "-of", "json", *entries, str(file)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test_every_frame_is_shown_at_its_tic_and_in_its_colours(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    with ReplayVideo(file, size=SIZE, tics_per_s=35) as video:
        for tic in range(10):
            video.add(solid(20 * tic), tic)
    frames = decoded(file)
    assert [time for time, _ in frames] == pytest.approx([tic / 35 for tic in range(10)], abs=1e-4)
    assert video.frames == 10
    for tic, (_, pixels) in enumerate(frames):
        assert np.abs(pixels.mean((0, 1)) - (20 * tic, 40, 200)).max() < 8
    (stream,) = probed(file, "-show_streams")["streams"]
    colours = {"color_range": "tv", "color_space": "bt709", "color_transfer": "iec61966-2-1"}
    assert stream.items() >= (colours | {"color_primaries": "bt709"}).items()
    assert list(tmp_path.iterdir()) == [file]


def test_it_plays_while_it_is_written(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    partial, copy = tmp_path / "episode.mp4.partial", tmp_path / "copy.mp4"
    with ReplayVideo(file, size=SIZE, tics_per_s=35) as video:
        for tic in range(60):
            video.add(solid(tic), tic)
        shutil.copy(partial, copy)
        assert not file.exists()
    # The encoder looks a few frames ahead.
    assert len(decoded(copy)) > 40


def test_whole_it_is_an_ordinary_file_with_a_keyframe_a_second(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    with ReplayVideo(file, size=SIZE, tics_per_s=20) as video:
        for tic in range(70):
            video.add(solid(tic), tic)
    assert b"moof" not in [kind for kind, _ in boxes(file.read_bytes())]
    probe = probed(file, "-show_format", "-show_entries", "packet=pts_time,flags")
    assert float(probe["format"]["duration"]) == pytest.approx(3.5)
    keyframes = [float(p["pts_time"]) for p in probe["packets"] if "K" in p["flags"]]
    assert keyframes == [0, 1, 2, 3]


def boxes(data: bytes) -> list[tuple[bytes, int]]:
    """Return kind and size of the boxes at the top."""
    found, at = list[tuple[bytes, int]](), 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        found.append((kind, size))
        at += size
    return found


def test_a_game_faster_than_60_tics_a_second_shows_every_second_one(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    with ReplayVideo(file, size=SIZE, tics_per_s=100) as video:
        shown = [tic for tic in range(11) if video.shows(tic)]
        for tic in shown:
            video.add(solid(tic), tic)
    assert shown == [0, 2, 4, 6, 8, 10]
    assert [time for time, _ in decoded(file)] == pytest.approx([0, 0.02, 0.04, 0.06, 0.08, 0.1])


def test_the_last_frame_is_held_until_the_end(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    with ReplayVideo(file, size=SIZE, tics_per_s=10) as video:
        video.add(solid(10), 0)
        video.add(solid(90), 1)
        video.hold(9)
    times = [time for time, _ in decoded(file)]
    assert times == pytest.approx([0, 0.1, 0.9])
    assert float(probed(file, "-show_format")["format"]["duration"]) == pytest.approx(1.0)


def test_frames_of_another_aspect_ratio_get_black_bars(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    with ReplayVideo(file, size=SIZE, tics_per_s=10) as video:
        video.add(solid(200, 36, 36), 0)
        video.add(solid(200, 128, 72), 1)
    (_, square), (_, wide) = decoded(file)
    assert square.shape == wide.shape == (36, 64, 3)
    assert square[18, 3].max() < 20 < square[18, 32].max()
    assert wide[18, 3].max() > 20


def test_an_error_leaves_nothing(tmp_path: Path):
    with (
        pytest.raises(KeyboardInterrupt),
        ReplayVideo(tmp_path / "episode.mp4", size=SIZE, tics_per_s=30) as video,
    ):
        video.add(solid(100), 0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error_that_names_the_file(tmp_path: Path):
    with pytest.raises(EncodingError, match=r"nowhere/episode\.mp4 can't be written: No such file"):
        ReplayVideo(tmp_path / "nowhere" / "episode.mp4", size=SIZE, tics_per_s=30)


def test_a_full_disk_is_an_error_and_leaves_the_earlier_file(tmp_path: Path):
    file = tmp_path / "episode.mp4"
    file.write_bytes(b"earlier")
    (tmp_path / "episode.mp4.partial").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 256, (60, 360, 640, 3), np.uint8)
    with (
        pytest.raises(EncodingError, match="can't be written: No space left"),
        ReplayVideo(file, size=(640, 360), tics_per_s=30) as video,
    ):
        for tic, pixels in enumerate(noise):
            video.add(Frame(pixels, 0.0), tic)
    assert file.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [file]
