"""``metabonk.streaming.mpegts``, checked against FFmpeg's demuxer."""

import io

import av

from metabonk.streaming.gop import Epoch, Fragment, GopCache, QueueLimits
from metabonk.streaming.mpegts import TransportStream
from tests.support.frames import encode_frames, regular_times


def packed(count: int, keyframes: tuple[int, ...] = ()) -> tuple[Epoch, list[Fragment]]:
    cache = GopCache(QueueLimits(60, 2**30))
    cache.open_epoch(320, 180, 30)
    fragments = []
    for unit in encode_frames(regular_times(count), keyframes=keyframes):
        _, fragment = cache.add(unit)
        assert fragment is not None
        fragments.append(fragment)
    assert cache.epoch is not None
    return cache.epoch, fragments


def test_each_frame_comes_out_with_the_call_that_puts_it_in():
    epoch, fragments = packed(6)
    stream = TransportStream(epoch)
    seen = b""
    for number, fragment in enumerate(fragments):
        data = stream.mux(fragment)
        assert len(data) % 188 == 0 and data[::188] == b"G" * (len(data) // 188)
        seen += data
        with av.open(io.BytesIO(seen), format="mpegts") as file:
            assert len(list(file.decode(video=0))) == number + 1


def test_times_and_keyframes_are_preserved():
    epoch, fragments = packed(10, keyframes=(4,))
    stream = TransportStream(epoch)
    data = b"".join(stream.mux(fragment) for fragment in fragments)
    with av.open(io.BytesIO(data), format="mpegts") as file:
        packets = [packet for packet in file.demux() if packet.size]
    times = [packet.pts for packet in packets if packet.pts is not None]
    assert [time - times[0] for time in times] == [f.decode_time for f in fragments]
    assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == [0, 4]


def test_a_viewer_who_starts_late_gets_its_own_tables():
    epoch, fragments = packed(10, keyframes=(4,))
    stream = TransportStream(epoch)
    data = b"".join(stream.mux(fragment) for fragment in fragments[4:])
    with av.open(io.BytesIO(data), format="mpegts") as file:
        assert len(list(file.decode(video=0))) == 6
