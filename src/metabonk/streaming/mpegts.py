"""Packs access units as an MPEG transport stream (ISO/IEC 13818-1) for one viewer."""

from fractions import Fraction

import av
from av.container import OutputContainer

from metabonk.streaming.fmp4 import TIMESCALE
from metabonk.streaming.gop import Epoch, Fragment

TIME_BASE = Fraction(1, TIMESCALE)


class TransportStream:
    """FFmpeg's muxer; each picture comes out with the call that puts it in.

    One a viewer: tables and continuity counters start with the viewer, and a picture takes 13 µs.

    Args:
        epoch: what is packed.

    Attributes:
        head: what a file of this format begins with: nothing, as its tables come with pictures.
    """

    head = b""

    def __init__(self, epoch: Epoch) -> None:
        self._written = _Written()
        self._container: OutputContainer = av.open(
            self._written, "w", format="mpegts", container_options={"flush_packets": "1"}
        )
        self._stream = self._container.add_mux_stream(
            "h264", rate=epoch.fps, width=epoch.width, height=epoch.height
        )
        self._stream.time_base = TIME_BASE

    def pack(self, fragment: Fragment) -> bytes:
        """The picture as whole transport packets of 188 bytes."""
        packet = av.Packet(fragment.unit.data)
        packet.pts = packet.dts = fragment.decode_time
        packet.time_base = TIME_BASE
        packet.stream = self._stream
        packet.is_keyframe = fragment.keyframe
        self._container.mux(packet)
        return self._written.take()


class _Written:
    """The file that PyAV writes to."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data
