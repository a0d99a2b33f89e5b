"""``metabonk.streaming.mpegts``, checked against FFmpeg's demuxer."""

import io
from collections.abc import Iterator

import av

from metabonk.streaming.gop import Epoch, Fragment, Packer
from metabonk.streaming.mpegts import TransportStream
from tests.support.frames import encode_frames, regular_times


def packed(
    count: int,
    keyframes: tuple[int, ...] = (),
    *,
    size: tuple[int, int] = (320, 180),
    later: int = 0,
) -> tuple[Epoch, list[Fragment]]:
    packer = Packer()
    packer.open_epoch(*size, 30)
    fragments = []
    times = regular_times(later + count)[later:]
    for unit in encode_frames(times, keyframes=keyframes, size=size):
        _, fragment = packer.add(unit)
        assert fragment is not None
        fragments.append(fragment)
    assert packer.epoch is not None
    return packer.epoch, fragments


def test_each_frame_comes_out_with_the_call_that_puts_it_in():
    epoch, fragments = packed(6)
    stream = TransportStream()
    stream.begin(epoch)
    seen = b""
    for number, fragment in enumerate(fragments):
        data = stream.mux(fragment)
        assert len(data) % 188 == 0 and data[::188] == b"G" * (len(data) // 188)
        seen += data
        with av.open(io.BytesIO(seen), format="mpegts") as file:
            assert len(list(file.decode(video=0))) == number + 1


def test_times_and_keyframes_are_preserved():
    epoch, fragments = packed(10, keyframes=(4,))
    stream = TransportStream()
    stream.begin(epoch)
    data = b"".join(stream.mux(fragment) for fragment in fragments)
    with av.open(io.BytesIO(data), format="mpegts") as file:
        packets = [packet for packet in file.demux() if packet.size]
    times = [packet.pts for packet in packets if packet.pts is not None]
    assert [time - times[0] for time in times] == [f.decode_time for f in fragments]
    assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == [0, 4]


def test_a_new_epoch_continues_the_stream_in_its_own_size():
    first, second = packed(5), packed(5, size=(160, 90), later=5)
    stream = TransportStream()
    data = b""
    for epoch, fragments in (first, second):
        data += stream.begin(epoch) + b"".join(stream.mux(fragment) for fragment in fragments)
    with av.open(io.BytesIO(data), format="mpegts") as file:
        frames = list(file.decode(video=0))
    assert [frame.width for frame in frames] == [320] * 5 + [160] * 5
    assert [frame.pts for frame in frames] == [3000 * number for number in range(10)]


def test_a_viewer_who_starts_late_gets_its_own_tables_and_clock():
    epoch, fragments = packed(10, keyframes=(4,))
    stream = TransportStream()
    stream.begin(epoch)
    data = b"".join(stream.mux(fragment) for fragment in fragments[4:])
    with av.open(io.BytesIO(data), format="mpegts") as file:
        frames = list(file.decode(video=0))
    assert len(frames) == 6 and frames[0].pts == 0


def test_each_frame_tells_its_length():
    epoch, fragments = packed(6)
    stream = TransportStream()
    stream.begin(epoch)
    for fragment in fragments:
        frame = b"".join(video_payloads(stream.mux(fragment)))
        assert frame[:3] == b"\0\0\1"
        assert int.from_bytes(frame[4:6], "big") == len(frame) - 6, "PES_packet_length"


def video_payloads(data: bytes) -> Iterator[bytes]:
    """Yield the payloads of the video's packets (ISO/IEC 13818-1, 2.4.3.2)."""
    for at in range(0, len(data), 188):
        packet = data[at : at + 188]
        if int.from_bytes(packet[1:3], "big") & 0x1FFF == 0x100:
            adaptation = packet[4] + 1 if packet[3] & 0x20 else 0
            yield packet[4 + adaptation :]
