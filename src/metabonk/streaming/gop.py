"""From access units to what viewers get, and what one who joins now gets first. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from metabonk.encoding.frame import AccessUnit
from metabonk.messages import Thought, ThoughtMessage
from metabonk.streaming.fmp4 import (
    TIMESCALE,
    ParameterSets,
    fragment,
    init_segment,
    length_prefixed,
    parameter_sets,
)

DECLARED_S = 1 / 15
"""Least duration that a sample declares: bridges pauses of up to 133 ms. More would let players
believe that they have more pictures than they do, and play too close to the edge."""


class Timeline:
    """Places pictures of one epoch; the first is at zero.

    Args:
        fps: nominal frames per second.

    Attributes:
        duration: that every sample declares, ``1/TIMESCALE`` seconds.
    """

    def __init__(self, fps: int) -> None:
        self.duration = round(max(1 / fps, DECLARED_S) * TIMESCALE)
        # A millisecond less than the limit: players round to their own clock's units.
        self._longest_step = 2 * self.duration - TIMESCALE // 1000
        self._zero: float | None = None
        self._last = -1

    def at(self, captured_at: float) -> int:
        """The decode time of a picture that was captured then; 0 before the first is placed."""
        return 0 if self._zero is None else round((captured_at - self._zero) * TIMESCALE)

    def place(self, captured_at: float) -> int:
        """The decode time, ``1/TIMESCALE`` seconds, of a picture newer than the one before.

        Args:
            captured_at: seconds, monotonic.
        """
        if self._zero is None:
            self._zero = captured_at
        time = round((captured_at - self._zero) * TIMESCALE)
        excess = time - self._last - self._longest_step
        if self._last >= 0 and excess > 0:
            self._zero += excess / TIMESCALE
            time -= excess
        self._last = max(time, self._last + 1)
        return self._last


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much is kept for one viewer.

    Attributes:
        seconds: of media time.
        size: bytes.
    """

    seconds: float
    size: int

    def exceeded(self, first: "Fragment", last: "Fragment", size: int) -> bool:
        """Whether fragments from ``first`` to ``last``, ``size`` bytes in all, are too many."""
        return size > self.size or last.decode_time - first.decode_time > self.seconds * TIMESCALE


@dataclass(frozen=True, slots=True)
class Epoch:
    """The time in which one init segment holds.

    Attributes:
        number: grows by one with every epoch of a hub.
        mime: of the fMP4 stream, with the codecs parameter.
        width: of the picture, pixels.
        height: of the picture, pixels.
        fps: nominal frames per second.
        init: ``ftyp`` and ``moov``.
    """

    number: int
    mime: str
    width: int
    height: int
    fps: int
    init: bytes


@dataclass(frozen=True, slots=True)
class Fragment:
    """One picture, packed once for all viewers.

    Attributes:
        unit: as it left the encoder.
        decode_time: on the epoch's clock, ``1/fmp4.TIMESCALE`` seconds.
        data: ``moof`` and ``mdat``.
        thoughts: of the policy that led to it, each a ``messages.ThoughtMessage`` as JSON.
    """

    unit: AccessUnit
    decode_time: int
    data: bytes
    thoughts: tuple[str, ...] = ()

    @property
    def keyframe(self) -> bool:
        """Whether decoding can start here."""
        return self.unit.keyframe


class GopCache:
    """Packs access units and keeps those since the last keyframe.

    Args:
        limits: a group beyond them isn't kept, as no viewer's queue would take it.

    Attributes:
        epoch: the one that holds, None before its first keyframe.
        group: fragments since the last keyframe; empty where there is none to start with.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self.epoch: Epoch | None = None
        self.group: list[Fragment] = []
        self._limits = limits
        self._bytes = 0
        self._number = 0
        self._shape = (0, 0, 1)
        self._parameters: ParameterSets | None = None
        self._timeline = Timeline(1)
        self._sequence = 0
        self._packing = False

    def open_epoch(self, width: int, height: int, fps: int) -> None:
        """A new encoder begins: the next keyframe begins a new epoch."""
        self._shape = (width, height, fps)
        self._parameters = None
        self.end()

    def end(self) -> None:
        """Nothing that was packed is of use any more; the next keyframe begins anew."""
        self.epoch = None
        self.group = []
        self._packing = False

    def add(
        self, unit: AccessUnit, thoughts: Sequence[Thought] = ()
    ) -> tuple[Epoch | None, Fragment | None]:
        """Packs a unit, and what was thought before it.

        Returns:
            The new epoch if it begins one; its fragment, or None where it can't be decoded because
            no keyframe came before it.
        """
        begun = None
        if unit.keyframe:
            parameters = parameter_sets(unit.data) or self._parameters
            if parameters is None:
                return None, None
            if self.epoch is None or parameters != self._parameters:
                begun = self._begin(parameters)
            self._packing = True
            self.group = []
            self._bytes = 0
        if not self._packing:
            return None, None
        packed = self._pack(unit, thoughts)
        self._keep(packed)
        return begun, packed

    def _begin(self, parameters: ParameterSets) -> Epoch:
        width, height, fps = self._shape
        self._number += 1
        self._parameters = parameters
        self._timeline = Timeline(fps)
        self._sequence = 0
        self.epoch = Epoch(
            self._number,
            parameters.mime,
            width,
            height,
            fps,
            init_segment(parameters, width, height),
        )
        return self.epoch

    def media_time(self, captured_at: float) -> tuple[int, float] | None:
        """The epoch's number, and when in it this picture is shown; None outside an epoch.

        Args:
            captured_at: seconds, monotonic.
        """
        if self.epoch is None:
            return None
        return self.epoch.number, self._timeline.at(captured_at) / TIMESCALE

    def _pack(self, unit: AccessUnit, thoughts: Sequence[Thought]) -> Fragment:
        self._sequence += 1
        decode_time = self._timeline.place(unit.captured_at)
        data = fragment(
            length_prefixed(unit.data),
            sequence=self._sequence,
            decode_time=decode_time,
            duration=self._timeline.duration,
            sync=unit.keyframe,
        )
        assert self.epoch is not None, "an epoch begins before anything is packed"
        placed = {"epoch": self.epoch.number, "time": decode_time / TIMESCALE}
        told = tuple(
            ThoughtMessage(**placed, **thought.model_dump()).model_dump_json()
            for thought in thoughts
        )
        return Fragment(unit, decode_time, data, told)

    def _keep(self, packed: Fragment) -> None:
        """Half a group is of no use, so one that grows too large is not kept at all."""
        if not packed.keyframe and not self.group:
            return
        self.group.append(packed)
        self._bytes += len(packed.data)
        if self._limits.exceeded(self.group[0], packed, self._bytes):
            self.group = []
