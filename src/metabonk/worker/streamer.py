"""Takes frames from the play thread and makes them a stream, while the director wants one.

Nothing here ever makes the play thread wait: a full queue drops its oldest frame and counts it. A
machine that can't keep up gets a smaller stream to make (``quality``).
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.frame import DevicePixels, Frame
from metabonk.encoding.ladder import RUNGS, FrameKind, PoolKind, Rung
from metabonk.encoding.session import EncoderOpener, EncoderSession, OpenFailure
from metabonk.errors import EncoderBroken, EncodingError
from metabonk.messages import DesiredState, StreamState, Thought
from metabonk.streaming.hub import Hub
from metabonk.system.rate import Rate
from metabonk.worker.quality import IdleCores, LoadMeter, LoadSample, QualityController, drawn_size

log = logging.getLogger(__name__)


QUEUED_FRAMES = 4
"""Pictures that wait for the encoder, which takes a third of the time between two: a hitch of the
machine of up to an eighth of a second costs none, and is caught up with at once."""

QUEUED_THOUGHTS = 64
"""They wait for their picture, seconds at the most; without an encoder they are worth nothing."""


class FrameQueue:
    """A bounded queue that drops its oldest frame. Not thread-safe.

    Attributes:
        dropped: frames, in all.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._frames: deque[Frame] = deque()
        self._thoughts: deque[tuple[float, Thought]] = deque(maxlen=QUEUED_THOUGHTS)

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame, thought: Thought | None) -> bool:
        """Takes a frame, and what led to it.

        Returns:
            Whether an older one had to go for it.
        """
        if thought is not None:
            self._thoughts.append((frame.captured_at, thought))
        full = len(self._frames) >= QUEUED_FRAMES
        if full:
            self._frames.popleft()
            self.dropped += 1
        self._frames.append(frame)
        return full

    def take(self) -> Frame:
        """The oldest frame; there is one."""
        return self._frames.popleft()

    def thoughts_until(self, captured_at: float) -> list[Thought]:
        """Also those of frames that were dropped meanwhile."""
        due = []
        while self._thoughts and self._thoughts[0][0] <= captured_at:
            due.append(self._thoughts.popleft()[1])
        return due

    def clear(self) -> None:
        """Forgets the frames, which does not count as dropping them."""
        self._frames.clear()


RETRY_S = 0.5
PATIENCE_S = 3.0
"""How long opening waits for the game to draw at the spectators' size. An episode in standby ends
in a second or two; one that doesn't is shown scaled up until it has ended."""

HANG_S = 10.0
"""A driver that has not answered for this long is taken to hang: a frame takes milliseconds, and a
reset of the driver two or three seconds."""

LOOK_AROUND_S = 5.0
"""How often a stream looks whether it should go on with another encoder."""

PROVEN_AFTER_S = 30.0
"""An encoder that ran this long did not break at once: its back-off starts from the beginning."""


Renditions: TypeAlias = Callable[[Rung], Sequence[EncoderSettings]]
"""What a stream may be on a rung, best first."""


@dataclass(frozen=True, slots=True)
class StreamStats:
    """What the status says of the stream."""

    state: StreamState
    reason: str
    backend: str
    settings: EncoderSettings | None
    """Of the open encoder."""
    quality: str | None
    """Why they are not what was wanted, as a sentence."""
    last_error: str | None
    nvenc_slot: int | None
    frames_ok: int
    frames_fps: float
    frames_dropped: int

    @property
    def error(self) -> str | None:
        """Why there is no picture, or None while there is one."""
        return None if self.state is StreamState.LIVE else self.reason


class Streamer:
    """The encode thread of one worker.

    Args:
        opener: opens encoders.
        hub: where access units go.
        qualities: what the stream may be.
        enabled: false where the user wants no streams at all.
        spread: see ``QualityController``.
    """

    def __init__(
        self,
        opener: EncoderOpener,
        hub: Hub,
        renditions: Renditions,
        *,
        enabled: bool,
        spread: float = 0.0,
    ) -> None:
        self._opener = opener
        self._hub = hub
        self._renditions = renditions
        self._enabled = enabled
        self._spread = spread
        self._keepers: dict[str, QualityController] = {}
        self._meter = LoadMeter()
        self._spare_cores = IdleCores()
        # Which rung it will be isn't known yet; the size that is drawn hardly depends on it.
        self._drawn_size = drawn_size(self._settings_on(RUNGS[0]))
        self._inbox = FrameQueue()
        self._changed = threading.Condition()
        self._told = threading.Event()
        self._desired = DesiredState.STANDBY
        self._desired_since = self._opened_at = self._looked_around_at = time.monotonic()
        self._desired_reason = "the director has not chosen yet"
        self._drawing_large = False
        self._session: EncoderSession | None = None
        self._closed = False
        self._last_error: str | None = None
        self._drawn = Rate()
        self._encoded = Rate()
        self._state: tuple[StreamState, str] | None = None
        self._encoding_since: float | None = None
        self._thread = self._make_thread()
        self._watch = threading.Thread(target=self._watch_encoder, name="encode-watch", daemon=True)

    def start(self) -> None:
        """Starts the encode thread, and one that notices when that hangs."""
        self._thread.start()
        self._watch.start()

    def close(self) -> None:
        """Ends the stream and gives the session back."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(3.0)
        self._watch.join(1.0)

    def desire(self, desired: DesiredState, reason: str) -> None:
        """Takes the director's wish; repeating it changes nothing."""
        self._told.set()
        with self._changed:
            if desired is not self._desired:
                self._desired = desired
                self._desired_since = time.monotonic()
            self._desired_reason = reason
            self._changed.notify_all()

    def wait_for_wish(self, timeout: float) -> bool:
        """Whether the director has said within ``timeout`` seconds what this worker should be."""
        return self._told.wait(timeout)

    @property
    def wanted(self) -> bool:
        """Whether there should be a stream."""
        return self._enabled and self._desired is DesiredState.LIVE

    @property
    def drawn_size(self) -> tuple[int, int] | None:
        """Width and height that the game should be drawn at from its next episode on, pixels.

        None: small, since nobody is to see it.
        """
        return self._drawn_size if self.wanted else None

    @property
    def fps(self) -> int | None:
        """The rate at which every tic is worth drawing; None while no encoder is open."""
        session = self._session
        return session.settings.fps if session else None

    def episode_begun(self, *, large: bool) -> None:
        """The play thread tells whether the game is now drawn at the spectators' size."""
        with self._changed:
            self._drawing_large = large
            self._meter.begun()
            self._changed.notify_all()

    @property
    def takes_device_frames(self) -> bool:
        """Whether the open encoder makes use of pictures that are on the GPU already."""
        session = self._session
        return session is not None and FrameKind.CUDA in session.rung.frames

    def offer(
        self,
        pixels: NDArray[np.uint8],
        thought: Thought | None = None,
        *,
        waited_s: float = 0.0,
        uploaded: DevicePixels | None = None,
    ) -> float:
        """Takes a drawn frame (``H×W×3`` uint8 RGB) without waiting for anything.

        Args:
            pixels: of the frame.
            thought: that led to it, with the first frame after a decision.
            waited_s: how long the game had to wait for its clock, seconds.
            uploaded: the same picture on the GPU, where it has been brought there.

        Returns:
            When it was taken, monotonic seconds.
        """
        self._drawn.count()
        now = time.monotonic()
        with self._changed:
            self._meter.drawn(now, waited_s)
            if self._inbox.put(Frame(pixels, now, uploaded), thought):
                self._meter.dropped()
            self._changed.notify_all()
        return now

    def figures(self) -> StreamStats:
        """The stream as it is now; any thread may ask."""
        session = self._session
        state, reason = self._state or (StreamState.STANDBY, self._desired_reason)
        return StreamStats(
            state=state,
            reason=reason,
            backend=session.rung.backend if session else "",
            settings=session.settings if session else None,
            quality=self._keeper(session.rung).sentence if session else None,
            last_error=self._last_error,
            nvenc_slot=(
                session.lease.slot if session and session.rung.pool_kind is PoolKind.NVENC else None
            ),
            frames_ok=self._encoded.total,
            frames_fps=self._drawn.per_second() if session else 0.0,
            frames_dropped=self._inbox.dropped,
        )

    def _make_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="encode", daemon=True)

    def _run(self) -> None:
        try:
            while not self._closed and not self._is_replaced():
                if not self.wanted:
                    self._rest()
                elif self._session is None:
                    self._open()
                else:
                    self._encode(self._session)
        finally:
            if not self._is_replaced():
                self._drop_session()

    def _is_replaced(self) -> bool:
        """Whether the calling encode thread hung, so that another does its work by now."""
        return threading.current_thread() is not self._thread

    def _watch_encoder(self) -> None:
        """Replaces the encode thread when the driver holds it up: no thread can be ended."""
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._closed, timeout=HANG_S / 10)
                since, session = self._encoding_since, self._session
                if self._closed or session is None or since is None:
                    continue
                if time.monotonic() - since < HANG_S:
                    continue
                self._session = self._encoding_since = None
                self._inbox.clear()
                self._thread = self._make_thread()
            reason = (
                f"{session.rung.backend} has not answered for {HANG_S:.0f} s: the driver hangs. "
                "Its session is lost until this worker ends; 'nvidia-smi' and 'dmesg' may say why"
            )
            self._opener.hangs(session, reason)
            self._last_error = reason
            self._say(StreamState.ERROR, reason)
            self._thread.start()

    def _rest(self) -> None:
        self._drop_session()
        reason = (
            self._desired_reason if self._enabled else "streaming is switched off (stream.enabled)"
        )
        self._say(StreamState.STANDBY, reason)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.wanted, timeout=RETRY_S)

    def _open(self) -> None:
        patience = self._desired_since + PATIENCE_S - time.monotonic()
        if not self._drawing_large and patience > 0:
            self._say(StreamState.STARTING, "the stream starts when this episode has ended")
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or self._drawing_large or not self.wanted, patience
                )
            return
        try:
            opened = self._opener.open(self._settings_on)
        except EncodingError as error:
            self._fail(str(error))
            return
        if isinstance(opened, OpenFailure):
            if opened.limit_reached:
                self._say(StreamState.STANDBY, opened.reason)
                self._pause()
            else:
                self._fail(opened.reason)
            return
        self._say(StreamState.STARTING, "waiting for the first keyframe")
        self._looked_around_at = time.monotonic()
        with self._changed:
            self._inbox.clear()
        self._begin(opened)

    def _begin(self, session: EncoderSession) -> None:
        """Goes on with an encoder that was opened; viewers see a new epoch."""
        settings = session.settings
        self._hub.open_epoch(settings.width, settings.height, settings.fps)
        self._keeper(session.rung).begin()
        self._drawn.restart()
        self._opened_at = time.monotonic()
        with self._changed:
            self._meter.restart(self._opened_at)
            self._drawn_size = drawn_size(settings)
            self._session = session

    def _keeper(self, rung: Rung) -> QualityController:
        """It outlasts sessions: what the machine could not hold before it does not hold now."""
        if rung.backend not in self._keepers:
            self._keepers[rung.backend] = QualityController(self._renditions(rung), self._spread)
        return self._keepers[rung.backend]

    def _settings_on(self, rung: Rung) -> EncoderSettings:
        return self._keeper(rung).settings

    def _encode(self, session: EncoderSession) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._inbox or not self.wanted, RETRY_S)
            if self._closed or not self.wanted or not self._inbox:
                return
            frame = self._inbox.take()
        began = time.monotonic()
        try:
            with self._watched():
                units = session.encoder.encode(frame, keyframe=self._hub.keyframe_wanted())
        except EncoderBroken as error:
            if self._is_replaced():
                session.close()
                return
            with self._changed:
                self._session = None
            self._opener.broke(session, str(error))
            self._last_error = str(error)
            self._say(StreamState.STARTING, f"the encoder broke and is opened again: {error}")
            return
        if self._is_replaced():
            session.close()
            return
        for unit in units:
            with self._changed:
                thoughts = self._inbox.thoughts_until(unit.captured_at)
            self._hub.publish(unit, thoughts)
            self._encoded.count()
        if units:
            self._say(StreamState.LIVE, f"live through {session.rung.backend}")
        now = time.monotonic()
        with self._changed:
            self._meter.encoded(now - began)
        if now - self._opened_at > PROVEN_AFTER_S:
            self._opener.worked(session)
        if now - self._looked_around_at > LOOK_AROUND_S:
            self._looked_around_at = now
            self._move(session)
        elif self._meter.due(now):
            spare_cores = self._spare_cores.since_last()
            with self._changed:
                measured = self._meter.take(now, spare_cores)
            self._keep_up(session, measured)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """For what the driver does, and may hang in."""
        self._encoding_since = time.monotonic()
        try:
            yield
        finally:
            if not self._is_replaced():
                self._encoding_since = None

    def _move(self, session: EncoderSession) -> None:
        """Goes on with another encoder where that is called for."""
        try:
            successor = self._opener.move(session, self._settings_on)
        except EncodingError as error:
            self._last_error = str(error)
            return
        if successor is not None:
            self._begin(successor)
            session.close()

    def _keep_up(self, session: EncoderSession, measured: LoadSample) -> None:
        """Steps to the quality that the machine can hold, under the same lease."""
        settings = self._keeper(session.rung).judge(measured)
        if settings is None:
            return
        log.info(
            "goes on with %s after %s: in a second %d frames came, %d were dropped, load %.2f",
            settings,
            session.settings,
            measured.drawn,
            measured.dropped,
            measured.load,
        )
        try:
            with self._watched():
                refused = self._opener.reopen(session, settings)
            reason = refused.reason if refused else None
        except EncodingError as error:
            session.close()
            reason = str(error)
        if self._is_replaced():
            session.close()
            return
        if reason is None:
            self._begin(session)
            return
        with self._changed:
            self._session = None
        self._last_error = reason
        self._say(StreamState.STARTING, f"the encoder is opened again: {reason}")

    def _fail(self, reason: str) -> None:
        self._last_error = reason
        self._say(StreamState.ERROR, reason)
        self._pause()

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self.wanted, RETRY_S)

    def _drop_session(self) -> None:
        with self._changed:
            session, self._session = self._session, None
            self._inbox.clear()
        if session is not None:
            session.close()

    def _say(self, state: StreamState, reason: str) -> None:
        if self._state != (state, reason):
            self._state = (state, reason)
            self._hub.set_state(state, reason)
