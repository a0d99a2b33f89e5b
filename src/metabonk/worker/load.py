"""Measurement of how hard a stream works its machine. No clock of its own, no threads."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import psutil

from metabonk.settings.schema import available_cores

SAMPLE_S = 1.0
"""Length of one sample, seconds."""

MIN_KEPT = 0.92
"""Share of the frames due that must be encoded. Slightly above what ``metabonk validate`` asks."""

MAX_DROPPED = 0.05
"""Share of the drawn frames that may be dropped before the encoder. Three samples reach it with a
fifth of a second of frames, which is a hitch."""


BUSY = 0.75
"""Share of its time from which on a thread is busy with a task."""

SHORT_OF_CORES = 0.25
"""Spare cores below which all threads wait for a core."""


class Cause(StrEnum):
    """Task that makes a stream late."""

    DECIDING = "deciding"
    DRAWING = "drawing"
    ENCODING = "encoding"


@dataclass(frozen=True, slots=True)
class LoadSample:
    """Load of one stream over a stretch of time.

    Attributes:
        seconds: length of the sample, without pauses between episodes.
        drawn: frames drawn by the game, or repeated since its pace is slower.
        dropped: frames dropped because the encoder did not take them in time.
        playing_s: time in which the play thread was not waiting for its clock, seconds.
        encoding_s: time in which the encode thread was encoding, seconds.
        spare_s: core-seconds idle or spent at background priority, over all cores.
        deciding_s: part of ``playing_s`` in which the policy decided; the rest is the game.
    """

    seconds: float
    drawn: int
    dropped: int
    playing_s: float
    encoding_s: float
    spare_s: float
    deciding_s: float = 0.0

    @property
    def drawing_s(self) -> float:
        """Time in which the shown game moved and was drawn, seconds."""
        return self.playing_s - self.deciding_s

    def kept(self, fps: int) -> float:
        """Return the share of the frames due that were drawn or repeated, and not dropped."""
        return (self.drawn - self.dropped) / (fps * self.seconds)

    def is_overloaded(self, fps: int) -> bool:
        """Tell whether the machine falls behind this rate."""
        return self.kept(fps) < MIN_KEPT or self.dropped > MAX_DROPPED * self.drawn

    def cause(self) -> Cause:
        """Return what makes the stream late, where it is.

        A decision is to blame only where neither drawing nor encoding would be late without it.
        """
        if self.is_encoder_late():
            return Cause.ENCODING
        busy_s = BUSY * self.seconds
        return Cause.DECIDING if self.drawing_s <= busy_s < self.playing_s else Cause.DRAWING

    def is_encoder_late(self) -> bool:
        """Tell whether the encoder has no time for more frames."""
        return self.dropped > MAX_DROPPED * self.drawn or self.encoding_s > BUSY * self.seconds

    def is_short_of_cores(self) -> bool:
        """Tell whether all threads wait for a core."""
        return self.spare_s < SHORT_OF_CORES * self.seconds


def total(samples: Sequence[LoadSample]) -> LoadSample:
    """Add consecutive samples up to one."""
    return LoadSample(
        sum(each.seconds for each in samples),
        sum(each.drawn for each in samples),
        sum(each.dropped for each in samples),
        sum(each.playing_s for each in samples),
        sum(each.encoding_s for each in samples),
        sum(each.spare_s for each in samples),
        sum(each.deciding_s for each in samples),
    )


class LoadMeter:
    """Takes one load sample after the other. Not thread-safe.

    Pauses between two episodes are left out: a smaller frame would not shorten them.
    """

    def __init__(self) -> None:
        self.restart(0.0)

    def restart(self, now: float) -> None:
        """Discard what was counted and begin a sample.

        Args:
            now: seconds, monotonic.
        """
        self._since = self._drawn_at = now
        self._between_episodes = False
        self._drawn = self._dropped = 0
        self._waited_s = self._deciding_s = self._encoding_s = 0.0

    def on_episode_start(self) -> None:
        """Leave out the time between the last frame and the next one."""
        self._between_episodes = True

    def on_drawn(self, now: float, waited_s: float, deciding_s: float = 0.0) -> None:
        """Count a drawn frame.

        Args:
            now: seconds, monotonic.
            waited_s: how long the play thread had waited for its clock before, seconds.
            deciding_s: how long the policy had decided before, seconds.
        """
        if self._between_episodes:
            self._since += now - max(self._since, self._drawn_at)
            self._between_episodes = False
        else:
            self._drawn += 1
            self._waited_s += waited_s
            self._deciding_s += deciding_s
        self._drawn_at = now

    def on_repeated(self, now: float) -> None:
        """Count a frame that was repeated, as a game slower than its stream needs it."""
        self._drawn += 1
        self._drawn_at = now

    def on_dropped(self) -> None:
        """Count a frame that the encoder did not take in time."""
        self._dropped += 1

    def on_encoded(self, seconds: float) -> None:
        """Count the time that the encoder took for a frame."""
        self._encoding_s += seconds

    def is_due(self, now: float) -> bool:
        """Tell whether the sample is long enough."""
        return now - self._since >= SAMPLE_S

    def take(self, now: float, spare_cores: float) -> LoadSample:
        """Return the sample that ends now, and begin the next.

        Args:
            now: seconds, monotonic.
            spare_cores: mean over the sample.
        """
        seconds = now - self._since
        playing_s = max(0.0, seconds - self._waited_s)
        sample = LoadSample(
            seconds,
            self._drawn,
            self._dropped,
            playing_s,
            self._encoding_s,
            spare_cores * seconds,
            min(self._deciding_s, playing_s),
        )
        between = self._between_episodes
        self.restart(now)
        self._between_episodes = between
        return sample


class IdleCores:
    """Cores that a stream could still use, by the kernel's counters for the whole machine.

    Training yields to live streams, so its time counts as spare. In a container with a CPU quota
    the kernel still counts the whole machine.
    """

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def since_last(self) -> float:
        """Return the mean since the last call, scaled to the cores this process may use."""
        before, self._before = self._before, psutil.cpu_times()
        spent = {
            name: getattr(self._before, name) - getattr(before, name)
            for name in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        }
        elapsed = sum(spent.values())
        spare = spent["idle"] + spent["iowait"] + spent["nice"]
        return available_cores() * spare / elapsed if elapsed > 0 else 0.0
