"""Stream quality that the machine can keep up with (docs/adr/0008-adaptive-quality.md).

Rather than lose frames at random, an overloaded stream steps down: first to smaller frames, then to
fewer. It steps back up once measurements show room for it.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.ladder import Rung
from metabonk.worker.load import Cause, IdleCores, LoadMeter, LoadSample, total

HEIGHTS = (720, 540, 360)
"""Heights of smaller frames, pixels. Below, a game is hard to make out on a tile of the page."""

RATE_SHARES = ((2, 3), (1, 2), (1, 3), (1, 4))
MIN_FPS = 15
"""Below that, motion falls apart into single frames."""

MIN_BITRATE = 100_000

MAX_RENDER_SIZE = (1280, 720)
"""Games are drawn no larger: a tic takes ViZDoom 8 ms on one core, and 19 ms at 1920×1080. The
encoder scales up."""

SETTLE_S = 1.0
"""Time after opening an encoder that is left out: it is about frames queued meanwhile."""

WINDOW = 10
"""Samples a step is based on."""

DOWN_SAMPLES = 6
"""Samples of the window that have to be late for a step down: a browser that starts beside the
stream takes the cores for shorter, and a stream that is short of a few frames is late in most."""

MAX_LOAD_AFTER = 0.75
"""Highest load a step up may lead to; the rest is for scenes that cost more."""

MAX_SPARE_SHARE = 0.5
"""Share of the spare cores a step up may take: other streams may step up at the same time."""

UP_HOLD_S = 15.0
"""Least time before a step up."""

MAX_UP_HOLD_S = 600.0
TRIAL_S = 60.0
"""Stepping back down within this time doubles the hold before the next step up."""

Renditions: TypeAlias = Callable[[Rung], Sequence[EncoderSettings]]
"""Function that lists the settings a stream may have on a rung, best first."""


def renditions(wanted: EncoderSettings) -> tuple[EncoderSettings, ...]:
    """List what a stream may step down to, best first: smaller frames, then fewer of the smallest.

    Aspect ratio and bits per pixel stay about the same.

    Args:
        wanted: the best.
    """
    smaller = [_scaled(wanted, height, wanted.fps) for height in HEIGHTS if height < wanted.height]
    smallest = (smaller or [wanted])[-1]
    rates = [wanted.fps * share // whole for share, whole in RATE_SHARES]
    fewer = [_scaled(wanted, smallest.height, fps) for fps in rates if fps >= MIN_FPS]
    return (wanted, *smaller, *fewer)


def render_size(settings: EncoderSettings) -> tuple[int, int]:
    """Return the width and height to draw a game at for such a stream, pixels."""
    width, height = settings.width, settings.height
    scale = min(1.0, MAX_RENDER_SIZE[0] / width, MAX_RENDER_SIZE[1] / height)
    return _even(width * scale), _even(height * scale)


def _scaled(wanted: EncoderSettings, height: int, fps: int) -> EncoderSettings:
    width = _even(height * wanted.width / wanted.height)
    scaled = replace(wanted, width=width, height=height, fps=fps)
    bitrate = round(wanted.bitrate * _work(scaled) / _work(wanted))
    return replace(scaled, bitrate=max(bitrate, min(MIN_BITRATE, wanted.bitrate)))


def _pixels(settings: EncoderSettings) -> int:
    """Pixels per frame: drawing costs at most in proportion to them."""
    return settings.width * settings.height


def _work(settings: EncoderSettings) -> int:
    """Pixels per second: scaling and encoding cost at most in proportion to them."""
    return _pixels(settings) * settings.fps


def _even(pixels: float) -> int:
    return max(2, round(pixels / 2) * 2)


class QualityController:
    """Decides which rendition of a stream its machine keeps up with. Pure: no clock, no threads.

    Down within seconds where drawing or encoding is late, by as much as the missing frames call
    for; to fewer frames only where that helps, as a game draws every tic at any rate. Never for a
    late decision, which costs the same at any quality. Up after a hold with room for it, as far as
    the room reaches; the hold doubles each time that a quality proves too much.

    Args:
        ladder: see ``renditions``.
        jitter: from 0 to 1, different for each stream of a machine: streams that step up at the
            same moment don't see each other's load until it is too late.
    """

    def __init__(self, ladder: Sequence[EncoderSettings], jitter: float = 0.0) -> None:
        self._ladder = tuple(ladder)
        self._jitter = jitter
        self._at = 0
        self._recent: deque[LoadSample] = deque(maxlen=WINDOW)
        self._settling_s = SETTLE_S
        self._held_s = 0.0
        self._on_trial = False
        self._reason = ""
        self._hold_s = [UP_HOLD_S] * len(self._ladder)

    @property
    def settings(self) -> EncoderSettings:
        """Settings of the stream now."""
        return self._ladder[self._at]

    @property
    def note(self) -> str | None:
        """Sentence on the quality and why it is not the wanted one; None where it is."""
        if self._at == 0:
            return None
        wanted = self._ladder[0]
        return (
            f"{self.settings} instead of {wanted.width}×{wanted.height} at {wanted.fps}: "
            f"this machine can't keep up with {self._reason}"
        )

    def restart(self) -> None:
        """Discard the samples taken before an encoder was opened."""
        self._recent.clear()
        self._settling_s = SETTLE_S

    def update(self, sample: LoadSample) -> EncoderSettings | None:
        """Take a sample into account.

        Returns:
            The settings to switch to, or None to keep the present ones.
        """
        self._held_s += sample.seconds
        if self._on_trial and self._held_s >= TRIAL_S:
            self._hold_s[self._at] = UP_HOLD_S
            self._on_trial = False
        if self._settling_s > 0:
            self._settling_s -= sample.seconds
            return None
        self._recent.append(sample)
        fps = self.settings.fps
        latest = total(list(self._recent)[-DOWN_SAMPLES:])
        late = sum(each.is_overloaded(fps) for each in self._recent)
        if late >= DOWN_SAMPLES and latest.is_overloaded(fps):
            return self._step_down(latest)
        return self._step_up()

    def _step_down(self, latest: LoadSample) -> EncoderSettings | None:
        fps, cause = self.settings.fps, latest.cause()
        if cause is Cause.DECIDING:
            return None
        fewer = cause is Cause.ENCODING or latest.is_short_of_cores()
        below = range(self._at + 1, len(self._ladder))
        lower = [step for step in below if fewer or self._ladder[step].fps == fps]
        if not lower:
            return None
        if self._on_trial:
            self._hold_s[self._at] = min(2 * self._hold_s[self._at], MAX_UP_HOLD_S)
        busy = ": no core is idle" if latest.is_short_of_cores() else ""
        self._reason = f"{cause}{busy}"
        bearable = latest.kept(fps) * _work(self.settings)
        fitting = (step for step in lower if _work(self._ladder[step]) <= bearable)
        return self._step_to(next(fitting, lower[-1]), on_trial=False)

    def _step_up(self) -> EncoderSettings | None:
        if self._at == 0 or len(self._recent) < WINDOW:
            return None
        recent = total(self._recent)
        if recent.is_overloaded(self.settings.fps):
            return None
        for better in range(self._at):
            held = self._held_s >= self._hold_s[better] * (1 + self._jitter)
            if held and self._has_room(recent, self._ladder[better]):
                return self._step_to(better, on_trial=True)
        return None

    def _has_room(self, recent: LoadSample, better: EncoderSettings) -> bool:
        # A game draws every tic at any frame rate, and the policy decides at any size.
        drawing_s = recent.drawing_s * _pixels(better) / _pixels(self.settings)
        playing_s = recent.deciding_s + drawing_s
        encoding_s = recent.encoding_s * _work(better) / _work(self.settings)
        more_s = playing_s + encoding_s - recent.playing_s - recent.encoding_s
        load = max(playing_s, encoding_s) / recent.seconds
        return load <= MAX_LOAD_AFTER and more_s <= MAX_SPARE_SHARE * recent.spare_s

    def _step_to(self, step: int, *, on_trial: bool) -> EncoderSettings:
        self._at, self._on_trial, self._held_s = step, on_trial, 0.0
        self.restart()
        return self.settings


class AdaptiveQuality:
    """Measures one stream and keeps a quality controller for each rung. Thread-safe.

    Controllers outlast sessions: what the machine could not keep up with before it can't now.

    Args:
        renditions: what the stream may be.
        jitter: see ``QualityController``.
    """

    def __init__(self, renditions: Renditions, jitter: float = 0.0) -> None:
        self._renditions = renditions
        self._jitter = jitter
        self._controllers: dict[str, QualityController] = {}
        self._idle_cores = IdleCores()
        self._meter = LoadMeter()
        self._lock = threading.Lock()

    def settings_for(self, rung: Rung) -> EncoderSettings:
        """Return what the stream should be on this rung."""
        with self._lock:
            return self._controller(rung).settings

    def note(self, rung: Rung) -> str | None:
        """Return ``QualityController.note`` of this rung."""
        with self._lock:
            return self._controller(rung).note

    def restart(self, rung: Rung, now: float) -> None:
        """Begin measuring an encoder that was opened ``now`` (monotonic)."""
        with self._lock:
            self._controller(rung).restart()
            self._meter.restart(now)

    def on_episode_start(self) -> None:
        """See ``LoadMeter.on_episode_start``."""
        with self._lock:
            self._meter.on_episode_start()

    def on_drawn(
        self, now: float, waited_s: float, deciding_s: float = 0.0, *, dropped: bool
    ) -> None:
        """Count a drawn frame.

        Args:
            now: see ``LoadMeter.on_drawn``.
            waited_s: likewise.
            deciding_s: likewise.
            dropped: whether an older frame was dropped for it.
        """
        with self._lock:
            self._meter.on_drawn(now, waited_s, deciding_s)
            if dropped:
                self._meter.on_dropped()

    def on_repeated(self, now: float) -> None:
        """See ``LoadMeter.on_repeated``."""
        with self._lock:
            self._meter.on_repeated(now)

    def on_encoded(self, seconds: float) -> None:
        """See ``LoadMeter.on_encoded``."""
        with self._lock:
            self._meter.on_encoded(seconds)

    def step(self, rung: Rung, now: float) -> tuple[EncoderSettings, LoadSample] | None:
        """Return the settings to switch to and the sample that led to it, if a change is due."""
        with self._lock:
            if not self._meter.is_due(now):
                return None
            sample = self._meter.take(now, self._idle_cores.since_last())
            settings = self._controller(rung).update(sample)
            return None if settings is None else (settings, sample)

    def _controller(self, rung: Rung) -> QualityController:
        if rung.backend not in self._controllers:
            self._controllers[rung.backend] = QualityController(
                self._renditions(rung), self._jitter
            )
        return self._controllers[rung.backend]
