"""Access units as an MPEG transport stream (ISO/IEC 13818-1) for one viewer."""

from fractions import Fraction

import av
from av.container import OutputContainer

from metabonk.encoding.access_unit import TIMESCALE
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.muxer import ViewerClock

MUXER_OPTIONS = {
    "flush_packets": "1",
    # With its length, a frame is complete at its end; without, only when the next one begins.
    "omit_video_pes_length": "0",
}
TIME_BASE = Fraction(1, TIMESCALE)


class TransportStream:
    """FFmpeg's muxer, without delay: each frame comes out with the call that puts it in.

    One a viewer, since tables and continuity counters start with the viewer; a frame takes 13 µs.
    """

    def __init__(self) -> None:
        self._sink = _ByteSink()
        self._container: OutputContainer = av.open(
            self._sink, "w", format="mpegts", container_options=MUXER_OPTIONS
        )
        # The size and rate of any epoch: a transport stream leaves them to the parameter sets.
        self._stream = self._container.add_mux_stream("h264", rate=30, width=1280, height=720)
        self._stream.time_base = TIME_BASE
        self._clock = ViewerClock()

    def begin(self, epoch: Epoch) -> bytes:
        """Start an epoch; return nothing, since tables and parameter sets come with frames."""
        self._clock.begin_epoch()
        return b""

    def mux(self, fragment: Fragment) -> bytes:
        """Return the frame as whole transport packets of 188 bytes."""
        packet = av.Packet(fragment.unit.data)
        packet.pts = packet.dts = self._clock.at(fragment)
        packet.time_base = TIME_BASE
        packet.stream = self._stream
        packet.is_keyframe = fragment.keyframe
        self._container.mux(packet)
        return self._sink.take()


class _ByteSink:
    """File-like object that PyAV writes to."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data
