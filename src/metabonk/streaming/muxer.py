"""File formats of endless responses: one muxer a viewer, whose stream continues through epochs.

A plain player has one connection and one file. When the encoder changes, the new parameter sets
come in the stream (in-band), and the viewer's clock goes on.
"""

from typing import Protocol

from metabonk.encoding.access_unit import TIMESCALE
from metabonk.streaming.fmp4 import (
    fragment,
    init_segment,
    length_prefixed,
    length_prefixed_units,
    sequence_number,
    with_decode_time,
)
from metabonk.streaming.gop import Epoch, Fragment, Timeline


class Muxer(Protocol):
    """A file format for one viewer, whose clock begins at zero."""

    def begin(self, epoch: Epoch) -> bytes:
        """Start an epoch; return the bytes before its first frame."""
        ...

    def mux(self, fragment: Fragment) -> bytes:
        """Return the bytes of one frame of the epoch."""
        ...


class ViewerClock:
    """Times of the frames that one viewer gets: from zero, and on through epochs."""

    def __init__(self) -> None:
        self._shift: int | None = None
        self._last: tuple[int, float] | None = None

    def begin_epoch(self) -> None:
        """Let the next frame be the first of an epoch, whose own clock begins anew."""
        self._shift = None

    def at(self, fragment: Fragment) -> int:
        """Return the time of the next frame, ``1/TIMESCALE`` seconds."""
        captured_at = fragment.unit.captured_at
        if self._shift is None:
            self._shift = -fragment.decode_time
            if self._last is not None:
                time, before = self._last
                self._shift += time + max(1, round((captured_at - before) * TIMESCALE))
        self._last = fragment.decode_time + self._shift, captured_at
        return self._last[0]


class Mp4Stream:
    """Fragmented MP4 whose keyframes carry their parameter sets (``avc3``, 14496-15, 5.4.2.1)."""

    def __init__(self) -> None:
        self._clock = ViewerClock()
        self._epoch: Epoch | None = None

    def begin(self, epoch: Epoch) -> bytes:
        """Start an epoch; return the init segment before the first one."""
        is_first, self._epoch = self._epoch is None, epoch
        self._clock.begin_epoch()
        if not is_first:
            return b""
        return init_segment(epoch.parameters, epoch.width, epoch.height, in_band=True)

    def mux(self, fragment: Fragment) -> bytes:
        """Return ``moof`` and ``mdat`` of one frame."""
        time = self._clock.at(fragment)
        return (
            self._keyframe(fragment, time)
            if fragment.keyframe
            else with_decode_time(fragment.data, time)
        )

    def _keyframe(self, keyframe: Fragment, time: int) -> bytes:
        assert self._epoch is not None, "an epoch begins before its frames"
        parameters = self._epoch.parameters
        sample = length_prefixed_units(parameters.sequence, parameters.picture) + length_prefixed(
            keyframe.unit.data
        )
        return fragment(
            sample,
            sequence=sequence_number(keyframe.data),
            decode_time=time,
            duration=Timeline(self._epoch.fps).duration,
            sync=True,
        )
