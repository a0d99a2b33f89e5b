"""How good a stream its machine can hold. Pure: no clock, no threads, no encoder.

A machine that can't keep up would lose pictures one by one. Instead the stream steps down: the
picture becomes smaller, and where that isn't enough, fewer of them come. It steps up again once
there is measured room for it (docs/adr/0008-adaptive-quality.md).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psutil

from metabonk.encoding.encoder import EncoderSettings
from metabonk.settings.schema import available_cores

HEIGHTS = (720, 540, 360)
"""Of smaller pictures. Below, a game is no longer made out on a tile of the page."""

RATE_SHARES = ((2, 3), (1, 2), (1, 3), (1, 4))
LEAST_FPS = 15
"""Fewer pictures a second are seen as single ones."""

LEAST_BITRATE = 100_000

LARGEST_DRAWN = (1280, 720)
"""A game is drawn no larger: 8 ms a tic on one core in ViZDoom, 19 ms at 1920×1080. The encoder
scales it up."""

STRETCH_S = 1.0
"""Of one measurement."""

SETTLE_S = 1.0
"""After an encoder was opened: what was queued meanwhile says nothing of the new quality."""

JUDGED = 3
"""Stretches that are judged together, so that one hitch changes nothing."""

LEAST_KEPT = 0.92
"""Share of the pictures due that must come. Somewhat more than what validation asks for."""

MOST_LOST = 0.05
"""Share of the drawn pictures that may be dropped in front of the encoder: a fifth of a second of
any three, which is a hitch; more is not."""

CALM = 10
"""Stretches that must have had room for a better quality."""

CALM_LOAD = 0.75
"""How busy a thread may become by a step up; the rest is for scenes that cost more."""

CALM_SPARE = 0.5
"""Share of the cores left that a step up may take: other streams may do the same just now."""

PATIENCE_S = 15.0
LONGEST_PATIENCE_S = 600.0
PROBATION_S = 60.0
"""A quality that is given up within this time was taken too early, and is waited for twice as long
the next time."""


def renditions(wanted: EncoderSettings) -> tuple[EncoderSettings, ...]:
    """What a stream may be, best first: smaller pictures, then fewer of the smallest.

    A picture keeps its aspect ratio, and about as many bits a pixel.

    Args:
        wanted: the best.
    """
    smaller = [_scaled(wanted, height, wanted.fps) for height in HEIGHTS if height < wanted.height]
    smallest = (smaller or [wanted])[-1]
    rates = [wanted.fps * share // whole for share, whole in RATE_SHARES]
    fewer = [_scaled(wanted, smallest.height, fps) for fps in rates if fps >= LEAST_FPS]
    return (wanted, *smaller, *fewer)


def drawn_size(settings: EncoderSettings) -> tuple[int, int]:
    """Width and height that a game should be drawn at for such a stream, pixels."""
    width, height = settings.width, settings.height
    scale = min(1.0, LARGEST_DRAWN[0] / width, LARGEST_DRAWN[1] / height)
    return _even(width * scale), _even(height * scale)


def _scaled(wanted: EncoderSettings, height: int, fps: int) -> EncoderSettings:
    width = _even(height * wanted.width / wanted.height)
    scaled = replace(wanted, width=width, height=height, fps=fps)
    bitrate = round(wanted.bitrate * _work(scaled) / _work(wanted))
    return replace(scaled, bitrate=max(bitrate, min(LEAST_BITRATE, wanted.bitrate)))


def _work(settings: EncoderSettings) -> int:
    """Pixels a second. Drawing, scaling and encoding grow with them, or by less."""
    return settings.width * settings.height * settings.fps


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)


@dataclass(frozen=True, slots=True)
class LoadSample:
    """What came of a stretch of a stream.

    Attributes:
        seconds: its length, without pauses between episodes.
        drawn: pictures that the game drew.
        dropped: pictures that waited for the encoder in vain.
        playing_s: in which the play thread did not wait for the clock, seconds.
        encoding_s: in which the encode thread encoded, seconds.
        spare_s: seconds in which a core idled or worked in the background, over all cores.
    """

    seconds: float
    drawn: int
    dropped: int
    playing_s: float
    encoding_s: float
    spare_s: float

    @property
    def load(self) -> float:
        """How busy the busier thread was; 1 is all that there is."""
        return max(self.playing_s, self.encoding_s) / self.seconds

    def kept(self, fps: int) -> float:
        """Share of the pictures due that were drawn and not dropped."""
        return (self.drawn - self.dropped) / (fps * self.seconds)

    def in_trouble(self, fps: int) -> bool:
        """Whether the machine doesn't keep up with this rate."""
        return self.kept(fps) < LEAST_KEPT or self.dropped > MOST_LOST * self.drawn


def _sum(stretches: Sequence[LoadSample]) -> LoadSample:
    return LoadSample(
        sum(each.seconds for each in stretches),
        sum(each.drawn for each in stretches),
        sum(each.dropped for each in stretches),
        sum(each.playing_s for each in stretches),
        sum(each.encoding_s for each in stretches),
        sum(each.spare_s for each in stretches),
    )


class LoadMeter:
    """Measures one stretch after the other. Not thread-safe.

    A pause between two episodes counts for nothing: a smaller picture would not shorten it.
    """

    def __init__(self) -> None:
        self.restart(0.0)

    def restart(self, now: float) -> None:
        """Forgets what was counted.

        Args:
            now: seconds, monotonic.
        """
        self._since = self._drawn_at = now
        self._between_episodes = False
        self._drawn = self._dropped = 0
        self._waited_s = self._encoding_s = 0.0

    def begun(self) -> None:
        """An episode has begun: the time since the last picture was no part of play."""
        self._between_episodes = True

    def drawn(self, now: float, waited_s: float) -> None:
        """A picture was drawn, after the play thread had waited so long for its turn."""
        if self._between_episodes:
            self._since += now - max(self._since, self._drawn_at)
            self._between_episodes = False
        else:
            self._drawn += 1
            self._waited_s += waited_s
        self._drawn_at = now

    def dropped(self) -> None:
        """A picture was dropped, since the encoder did not take it in time."""
        self._dropped += 1

    def encoded(self, seconds: float) -> None:
        """The encoder took so long for a picture."""
        self._encoding_s += seconds

    def due(self, now: float) -> bool:
        """Whether the stretch is long enough."""
        return now - self._since >= STRETCH_S

    def take(self, now: float, spare_cores: float) -> LoadSample:
        """The stretch that ends now; the next one begins.

        Args:
            now: seconds, monotonic.
            spare_cores: on average in this stretch.
        """
        seconds = now - self._since
        playing_s = max(0.0, seconds - self._waited_s)
        measured = LoadSample(
            seconds,
            self._drawn,
            self._dropped,
            playing_s,
            self._encoding_s,
            spare_cores * seconds,
        )
        between = self._between_episodes
        self.restart(now)
        self._between_episodes = between
        return measured


class QualityController:
    """Keeps a stream at a quality that its machine can hold.

    Down within seconds, as far as the pictures that are missing ask for. Up after a while with room
    for it, as far as the room goes; the while is longer each time that a quality proves too much.

    Args:
        ladder: what the stream may be, best first; see ``renditions``.
        spread: from 0 to 1, another one for each stream of a machine: streams that step up all at
            once don't see each other's load until it is too late.
    """

    def __init__(self, ladder: Sequence[EncoderSettings], spread: float = 0.0) -> None:
        self._ladder = tuple(ladder)
        self._spread = spread
        self._at = 0
        self._recent: deque[LoadSample] = deque(maxlen=CALM)
        self._settling_s = SETTLE_S
        self._held_s = 0.0
        self._climbed = False
        self._patience = [PATIENCE_S] * len(self._ladder)

    @property
    def settings(self) -> EncoderSettings:
        """Of the stream now."""
        return self._ladder[self._at]

    @property
    def sentence(self) -> str | None:
        """What the stream is instead of what was wanted, and why; None where it is that."""
        if self._at == 0:
            return None
        wanted = self._ladder[0]
        return (
            f"{self.settings} instead of {wanted.width}×{wanted.height} at {wanted.fps}: "
            "this machine can't keep up"
        )

    def begin(self) -> None:
        """An encoder was opened; what was measured before it no longer counts."""
        self._recent.clear()
        self._settling_s = SETTLE_S

    def judge(self, measured: LoadSample) -> EncoderSettings | None:
        """Takes a stretch into account.

        Returns:
            What the stream should be from now on, or None where nothing changes.
        """
        self._held_s += measured.seconds
        if self._climbed and self._held_s >= PROBATION_S:
            self._patience[self._at] = PATIENCE_S
            self._climbed = False
        if self._settling_s > 0:
            self._settling_s -= measured.seconds
            return None
        self._recent.append(measured)
        if len(self._recent) < JUDGED:
            return None
        latest = _sum(list(self._recent)[-JUDGED:])
        if latest.in_trouble(self.settings.fps):
            return self._step_down(latest.kept(self.settings.fps))
        return self._step_up()

    def _step_down(self, kept: float) -> EncoderSettings | None:
        if self._at == len(self._ladder) - 1:
            return None
        if self._climbed:
            self._patience[self._at] = min(2 * self._patience[self._at], LONGEST_PATIENCE_S)
        bearable = kept * _work(self.settings)
        lower = range(self._at + 1, len(self._ladder))
        fitting = (step for step in lower if _work(self._ladder[step]) <= bearable)
        return self._step_to(next(fitting, lower[-1]), climbed=False)

    def _step_up(self) -> EncoderSettings | None:
        if self._at == 0 or len(self._recent) < CALM:
            return None
        calm = _sum(self._recent)
        if calm.in_trouble(self.settings.fps):
            return None
        for better in range(self._at):
            patient = self._held_s >= self._patience[better] * (1 + self._spread)
            if patient and self._has_room(calm, self._ladder[better]):
                return self._step_to(better, climbed=True)
        return None

    def _has_room(self, calm: LoadSample, better: EncoderSettings) -> bool:
        growth = _work(better) / _work(self.settings)
        more_s = (calm.playing_s + calm.encoding_s) * (growth - 1)
        return calm.load * growth <= CALM_LOAD and more_s <= CALM_SPARE * calm.spare_s

    def _step_to(self, step: int, *, climbed: bool) -> EncoderSettings:
        self._at, self._climbed, self._held_s = step, climbed, 0.0
        self.begin()
        return self.settings


class IdleCores:
    """Cores that a stream could still take, as the kernel counts them for the whole machine.

    Training beside what is live gives way to it, so its time counts as spare. In a container whose
    processor time is limited the kernel counts that of the machine all the same.
    """

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def since_last(self) -> float:
        """Spare cores on average since the last call, of those that this process may use."""
        before, self._before = self._before, psutil.cpu_times()
        spent = {
            name: getattr(self._before, name) - getattr(before, name)
            for name in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        }
        total = sum(spent.values())
        spare = spent["idle"] + spent["iowait"] + spent["nice"]
        return available_cores() * spare / total if total > 0 else 0.0
