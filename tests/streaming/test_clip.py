"""``metabonk.streaming.clip``, checked against FFmpeg's demuxer and decoder, and ffprobe."""

import io
import json
import subprocess
from itertools import groupby, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from metabonk.streaming.clip import CHUNK_BYTES, MAX_PAUSE_S, Clip
from tests.support.frames import brightness
from tests.support.recordings import FPS, GOP, record, times_of

LARGE, SMALL = (320, 180), (160, 90)


def file_of(clip: Clip) -> bytes:
    data = b"".join(clip.chunks())
    assert len(data) == clip.size
    return data


def decode(data: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(data)) as file:
        return list(file.decode(video=0))


def numbers(frames: list[av.VideoFrame]) -> list[int]:
    """Return the frames' numbers, by their brightness."""
    levels = [brightness(i) for i in range(2 * GOP)]
    means = [frame.to_ndarray(format="gray")[:, 10 : frame.width // 3].mean() for frame in frames]
    return [int(np.argmin([abs(mean - level) for level in levels])) for mean in means]


def test_a_clip_is_the_recorded_frames_from_zero_at_the_times_of_their_capture():
    gops = record([(1000.0, 2 * GOP, LARGE)]).last(60)
    clip = Clip(gops)
    frames = decode(file_of(clip))
    assert numbers(frames) == list(range(2 * GOP))
    captured = np.array(times_of(gops))
    assert [frame.time for frame in frames] == pytest.approx(captured - captured[0], abs=1e-4)
    assert (clip.begins_at, clip.ends_at) == (captured[0], captured[-1])
    assert clip.duration == pytest.approx(captured[-1] - captured[0] + 1 / FPS, abs=1e-4)


def test_it_is_a_plain_file_with_its_index_in_front(tmp_path: Path):
    clip = Clip(record([(1000.0, 2 * GOP, LARGE)]).last(60))
    file = tmp_path / "clip.mp4"
    file.write_bytes(file_of(clip))
    kinds, rest = [], memoryview(file.read_bytes())
    while rest:
        kinds.append(bytes(rest[4:8]))
        rest = rest[int.from_bytes(rest[:4], "big") :]
    assert kinds == [b"ftyp", b"moov", b"mdat"]
    command = ("ffprobe", "-v", "warning", "-count_frames", "-show_streams", "-of", "json", file)
    probed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert probed.stderr == ""
    (stream,) = json.loads(probed.stdout)["streams"]
    assert stream["codec_tag_string"] == "avc1" and (stream["width"], stream["height"]) == LARGE
    assert stream["nb_frames"] == stream["nb_read_frames"] == str(2 * GOP)
    assert float(stream["duration"]) == pytest.approx(clip.duration, abs=1e-3)
    assert float(stream["start_time"]) == 0


def test_any_keyframe_can_be_sought():
    data = file_of(Clip(record([(1000.0, 3 * GOP, LARGE), (1001.5, GOP, SMALL)]).last(60)))
    with av.open(io.BytesIO(data)) as file:
        keyframes = [packet.pts for packet in file.demux() if packet.is_keyframe and packet.size]
        assert len(keyframes) == 4
        for pts in reversed(keyframes):
            file.seek(pts, stream=file.streams.video[0])
            assert next(file.decode(video=0)).pts == pts


def test_it_continues_through_changes_of_encoder_and_size():
    sizes = [LARGE, SMALL, LARGE, LARGE]
    gops = record([(1000.0 + i, GOP, size) for i, size in enumerate(sizes)]).last(60)
    frames = decode(file_of(Clip(gops)))
    shown = [(width, len(list(run))) for width, run in groupby(frame.width for frame in frames)]
    assert shown == [(320, GOP), (160, GOP), (320, 2 * GOP)]
    assert numbers(frames) == [i for _ in sizes for i in range(GOP)]
    captured = np.array(times_of(gops))
    assert [frame.time for frame in frames] == pytest.approx(captured - captured[0], abs=1e-4)


def test_a_standby_in_between_is_shortened():
    clip = Clip(record([(1000.0, GOP, LARGE), (1020.0, GOP, LARGE)]).last(60))
    times = [frame.time for frame in decode(file_of(clip))]
    assert max(later - time for time, later in pairwise(times)) == pytest.approx(MAX_PAUSE_S)
    assert clip.longest_pause > 19
    assert clip.duration < 1 + 2 * GOP / FPS + 0.1


def test_frames_after_the_end_are_left_out():
    gops = record([(1000.0, 2 * GOP, LARGE)]).last(60)
    end = times_of(gops)[20]
    clip = Clip(gops, end)
    assert clip.ends_at == end and len(decode(file_of(clip))) == 21


def test_thoughts_are_on_the_clock_of_the_clip():
    gops = record([(1000.0, GOP, LARGE), (1000.6, GOP, SMALL)]).last(60)
    clip = Clip(gops)
    frames = decode(file_of(clip))
    thoughts = clip.thoughts()
    assert [each.step for each in thoughts] == list(range(2 * GOP))
    assert [each.time for each in thoughts] == pytest.approx([frame.time for frame in frames])
    assert {each.epoch for each in thoughts} == {0}


def test_it_comes_in_pieces_that_leave_room_for_live_viewers():
    clip = Clip(record([(1000.0 + i, 30, (640, 360)) for i in range(4)]).last(60))
    pieces = list(clip.chunks())
    assert len(pieces) >= 2
    assert all(CHUNK_BYTES <= len(piece) < 2 * CHUNK_BYTES for piece in pieces[:-1])
