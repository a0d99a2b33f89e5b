"""Recorded frames as a plain MP4 file, with nothing encoded again. Pure.

``moov`` precedes ``mdat``, whose samples are the recorded ones, uncopied. Every encoder that the
stream had has a sample entry of its own (14496-12, 8.5.2), which is how a file may change its size.
Keyframes then repeat the parameter sets of their entry: players with one decoder for all of a file,
such as Chromium's, look for them there.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

from metabonk.encoding.access_unit import TIMESCALE
from metabonk.messages.streams import ThoughtMessage
from metabonk.streaming.boxes import box, full_box, movie_header, sample_table, track
from metabonk.streaming.fmp4 import (
    ParameterSets,
    length_prefixed_units,
    sample_entry,
    sample_of,
)
from metabonk.streaming.gop import Epoch
from metabonk.streaming.recent import Gop, RecordedFrame

MAX_PAUSE_S = 1.0
"""Longest time that a clip stands still between two epochs, in which there was no picture."""

CHUNK_BYTES = 64 << 10
"""Least size of the pieces of a clip: a piece per frame would cost more calls."""


class _Sample(NamedTuple):
    frame: RecordedFrame
    epoch: Epoch
    keyframe: bool
    time: int


class Clip:
    """A file of some GOPs, whose clock begins at zero.

    Args:
        gops: at least one, in order.
        end: the last frame that belongs to it was captured then, seconds, monotonic; None: all do.

    Attributes:
        begins_at: when its first frame was captured, seconds, monotonic.
        ends_at: when its last frame was captured, seconds, monotonic.
        duration: seconds.
        longest_pause: between two frames, seconds.
        size: of the file, bytes.
    """

    def __init__(self, gops: Sequence[Gop], end: float | None = None) -> None:
        self._samples = list(_timed(gops, end))
        first, last = self._samples[0].frame, self._samples[-1]
        self.begins_at = first.captured_at
        self.ends_at = last.frame.captured_at
        end_time = last.time + round(TIMESCALE / last.epoch.fps)
        times = [*(sample.time for sample in self._samples), end_time]
        self._durations = [later - time for time, later in pairwise(times)]
        self.duration = end_time / TIMESCALE
        captured = (sample.frame.captured_at for sample in self._samples)
        self.longest_pause = max((b - a for a, b in pairwise(captured)), default=0.0)
        epochs = {gop.epoch.number: _format(gop.epoch) for gop in gops}
        self._entries = list(dict.fromkeys(epochs.values()))
        numbers = {epoch: 1 + self._entries.index(entry) for epoch, entry in epochs.items()}
        # One chunk for all that follows each other in the same format.
        self._chunks = _run_lengths(numbers[sample.epoch.number] for sample in self._samples)
        self._sizes = [len(sample_of(s.frame.data)) + len(self._repeated(s)) for s in self._samples]
        self._header = self._pack_header(end_time)
        self.size = len(self._header) + sum(self._sizes)

    def chunks(self) -> Iterator[bytes]:
        """Yield the file in pieces of about ``CHUNK_BYTES``."""
        parts: list[bytes | memoryview] = [self._header]
        waiting = len(self._header)
        for sample in self._samples:
            content = sample_of(sample.frame.data)
            parts += (self._repeated(sample), content)
            waiting += len(content)
            if waiting >= CHUNK_BYTES:
                yield b"".join(parts)
                parts, waiting = [], 0
        yield b"".join(parts)

    def thoughts(self) -> list[ThoughtMessage]:
        """Return the policy's thoughts, on the clip's clock and as of epoch 0."""
        return [
            ThoughtMessage.model_validate_json(text).model_copy(
                update={"epoch": 0, "time": sample.time / TIMESCALE}
            )
            for sample in self._samples
            for text in sample.frame.thoughts
        ]

    def _repeated(self, sample: _Sample) -> bytes:
        """Return what a sample repeats of its sample entry."""
        if not sample.keyframe or len(self._entries) == 1:
            return b""
        parameters = sample.epoch.parameters
        return length_prefixed_units(parameters.sequence, parameters.picture)

    def _pack_header(self, duration: int) -> bytes:
        """Return everything before the first sample."""
        ftyp = box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isom", b"iso2", b"avc1", b"mp41")
        # The place of the samples depends on the size of moov, which doesn't depend on it.
        moov = self._pack_movie(duration, 0)
        moov = self._pack_movie(duration, len(ftyp) + len(moov) + 8)
        return b"".join((ftyp, moov, struct.pack(">I4s", 8 + sum(self._sizes), b"mdat")))

    def _pack_movie(self, duration: int, samples_at: int) -> bytes:
        starts = list(accumulate(self._sizes, initial=samples_at))
        first_samples = accumulate((count for _, count in self._chunks[:-1]), initial=0)
        durations = _run_lengths(self._durations)
        keyframes = [(i,) for i, sample in enumerate(self._samples, 1) if sample.keyframe]
        count = len(self._sizes)
        table = sample_table(
            [sample_entry(*entry) for entry in self._entries],
            _table(b"stts", [(count, duration) for duration, count in durations]),
            _table(b"stss", keyframes),
            _table(
                b"stsc", [(i, count, entry) for i, (entry, count) in enumerate(self._chunks, 1)]
            ),
            full_box(b"stsz", 0, 0, struct.pack(f">{2 + count}I", 0, count, *self._sizes)),
            _table(b"stco", [(starts[sample],) for sample in first_samples]),
        )
        width = max(width for _, width, _ in self._entries)
        height = max(height for _, _, height in self._entries)
        return box(b"moov", movie_header(duration), track(table, width, height, duration))


def _format(epoch: Epoch) -> tuple[ParameterSets, int, int]:
    return epoch.parameters, epoch.width, epoch.height


def _timed(gops: Sequence[Gop], end: float | None) -> Iterator[_Sample]:
    """Yield the frames with their times, which go on through epochs."""
    before: _Sample | None = None
    shift = 0
    for gop in gops:
        for i, frame in enumerate(gop.frames):
            if end is not None and frame.captured_at > end and before is not None:
                return
            if before is None:
                shift = -frame.decode_time
            elif before.epoch is not gop.epoch:
                pause = min(frame.captured_at - before.frame.captured_at, MAX_PAUSE_S)
                shift = before.time + max(1, round(pause * TIMESCALE)) - frame.decode_time
            before = _Sample(frame, gop.epoch, i == 0, frame.decode_time + shift)
            yield before


def _run_lengths(values: Iterable[int]) -> list[tuple[int, int]]:
    """Return each run of equal values as the value and its length."""
    return [(value, len(list(run))) for value, run in groupby(values)]


def _table(kind: bytes, rows: Sequence[tuple[int, ...]]) -> bytes:
    """Return a box that is a counted table of 32-bit numbers."""
    numbers = [number for row in rows for number in row]
    return full_box(kind, 0, 0, struct.pack(f">{1 + len(numbers)}I", len(rows), *numbers))
