"""Packed fragments, their times and the current group of pictures (GOP). Pure.

Media Source Extensions drop every frame up to the next keyframe after a gap of more than twice the
last frame's duration (coded frame processing, step 6 of the loop), and playback stalls there. Seen
with Chromium 156: a frame 70 ms after another with a declared duration of 33 ms froze playback for
two seconds. A fragment is sent before the next frame is known, so its duration is a promise:

- A sample declares more than the nominal duration, so that jitter and a lost frame or two stay
  within what players accept. The next sample ends it when it arrives.
- A longer pause (a game that loads, an encoder waiting for a core) is shortened to what players
  accept, and all later frames move forward by as much. Nothing was drawn in that time, so a live
  viewer misses nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from metabonk.encoding.access_unit import TIMESCALE, AccessUnit
from metabonk.messages.streams import Thought, ThoughtMessage
from metabonk.streaming.fmp4 import (
    ParameterSets,
    fragment,
    init_segment,
    length_prefixed,
    parameter_sets,
)

MIN_DURATION_S = 1 / 15
"""Least declared duration of a sample: bridges pauses of up to 133 ms. With more, players would
overestimate their buffer and play too close to its end."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The period in which one init segment is valid.

    Attributes:
        number: grows by one with every epoch of a hub.
        parameters: of the stream.
        width: of the frame, pixels.
        height: of the frame, pixels.
        fps: nominal frames per second.
        init: ``ftyp`` and ``moov``.
    """

    number: int
    parameters: ParameterSets
    width: int
    height: int
    fps: int
    init: bytes


@dataclass(frozen=True, slots=True)
class Fragment:
    """One frame, packed once for all viewers.

    Attributes:
        unit: as it left the encoder.
        decode_time: on the epoch's clock, ``1/TIMESCALE`` seconds.
        data: ``moof`` and ``mdat``.
        thoughts: of the policy steps that led to it, each a ``ThoughtMessage`` as JSON.
    """

    unit: AccessUnit
    decode_time: int
    data: bytes
    thoughts: tuple[str, ...] = ()

    @property
    def keyframe(self) -> bool:
        """True if decoding can start here."""
        return self.unit.keyframe


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The most that is kept for one viewer.

    Attributes:
        seconds: of media time.
        size: bytes.
    """

    seconds: float
    size: int

    def exceeded(self, first: Fragment, last: Fragment, size: int) -> bool:
        """Tell if fragments from ``first`` to ``last``, ``size`` bytes in all, are too many."""
        return size > self.size or last.decode_time - first.decode_time > self.seconds * TIMESCALE


class Timeline:
    """Decode times of the frames of one epoch, starting at zero.

    Args:
        fps: nominal frames per second.
        shortens_pauses: False keeps them, for viewers that don't use Media Source Extensions.

    Attributes:
        duration: declared by every sample, ``1/TIMESCALE`` seconds.
    """

    def __init__(self, fps: int, *, shortens_pauses: bool = True) -> None:
        self._shortens_pauses = shortens_pauses
        self.duration = round(max(1 / fps, MIN_DURATION_S) * TIMESCALE)
        # A millisecond below the limit: players round to units of their own clock.
        self._max_gap = 2 * self.duration - TIMESCALE // 1000
        self._zero: float | None = None
        self._last = -1

    def at(self, captured_at: float) -> int:
        """Return the decode time of a frame captured then; 0 before the first is placed."""
        return 0 if self._zero is None else round((captured_at - self._zero) * TIMESCALE)

    def place(self, captured_at: float) -> int:
        """Return the decode time, ``1/TIMESCALE`` seconds, of the next frame.

        Args:
            captured_at: seconds, monotonic; later than the frame before.
        """
        if self._zero is None:
            self._zero = captured_at
        time = round((captured_at - self._zero) * TIMESCALE)
        excess = time - self._last - self._max_gap
        if self._shortens_pauses and self._last >= 0 and excess > 0:
            self._zero += excess / TIMESCALE
            time -= excess
        self._last = max(time, self._last + 1)
        return self._last


class CurrentGop:
    """The frames since the last keyframe, for viewers who start in the middle.

    Args:
        limits: a GOP beyond them isn't kept, since no viewer's queue would take it.

    Attributes:
        fragments: since the last keyframe; empty if a viewer can't start with them.
        started: True once there was a keyframe.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self.fragments: list[Fragment] = []
        self.started = False
        self._limits = limits
        self._bytes = 0

    def clear(self) -> None:
        """Let the next keyframe start anew."""
        self.fragments = []
        self.started = False

    def add(self, packed: Fragment) -> None:
        """Keep a fragment; drop the GOP once it is too large, since half of one is useless."""
        if packed.keyframe:
            self.fragments, self._bytes, self.started = [], 0, True
        elif not self.fragments:
            return
        self.fragments.append(packed)
        self._bytes += len(packed.data)
        if self._limits.exceeded(self.fragments[0], packed, self._bytes):
            self.fragments = []


class Packer:
    """Packs the access units of one encoder after another.

    Args:
        shortens_pauses: see ``Timeline``.

    Attributes:
        epoch: the current one; None before its first keyframe.
    """

    def __init__(self, *, shortens_pauses: bool = True) -> None:
        self.epoch: Epoch | None = None
        self._shortens_pauses = shortens_pauses
        self._number = 0
        self._shape = (0, 0, 1)
        self._parameters: ParameterSets | None = None
        self._timeline = Timeline(1)
        self._sequence = 0

    def open_epoch(self, width: int, height: int, fps: int) -> None:
        """Let the next keyframe start a new epoch, for a new encoder."""
        self._shape = (width, height, fps)
        self._parameters = None
        self.end()

    def end(self) -> None:
        """End the epoch: nothing packed so far is shown again."""
        self.epoch = None

    def add(
        self, unit: AccessUnit, thoughts: Sequence[Thought] = ()
    ) -> tuple[Epoch | None, Fragment | None]:
        """Pack a unit with the thoughts that led to it.

        Returns:
            The epoch if the unit starts one, and its fragment; None for a fragment that can't be
            decoded, because no keyframe precedes it.
        """
        started = None
        if unit.keyframe:
            parameters = parameter_sets(unit.data) or self._parameters
            if parameters is None:
                return None, None
            if self.epoch is None or parameters != self._parameters:
                started = self._start_epoch(parameters)
        if self.epoch is None:
            return None, None
        return started, self._pack(self.epoch, unit, thoughts)

    def media_time(self, captured_at: float) -> tuple[int, float] | None:
        """Return the epoch's number and a frame's time in it, seconds; None outside an epoch.

        Args:
            captured_at: seconds, monotonic.
        """
        if self.epoch is None:
            return None
        return self.epoch.number, self._timeline.at(captured_at) / TIMESCALE

    def _start_epoch(self, parameters: ParameterSets) -> Epoch:
        width, height, fps = self._shape
        self._number += 1
        self._parameters = parameters
        self._timeline = Timeline(fps, shortens_pauses=self._shortens_pauses)
        init = init_segment(parameters, width, height)
        self.epoch = Epoch(self._number, parameters, width, height, fps, init)
        return self.epoch

    def _pack(self, epoch: Epoch, unit: AccessUnit, thoughts: Sequence[Thought]) -> Fragment:
        self._sequence += 1
        decode_time = self._timeline.place(unit.captured_at)
        data = fragment(
            length_prefixed(unit.data),
            sequence=self._sequence,
            decode_time=decode_time,
            duration=self._timeline.duration,
            sync=unit.keyframe,
        )
        position = {"epoch": epoch.number, "time": decode_time / TIMESCALE}
        messages = tuple(
            ThoughtMessage(**position, **thought.model_dump()).model_dump_json()
            for thought in thoughts
        )
        return Fragment(unit, decode_time, data, messages)
