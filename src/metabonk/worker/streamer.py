"""The encode thread: makes a stream of drawn frames while the director wants one.

It never makes the play thread wait: a full queue drops its oldest frame and counts it.
"""

import logging
import threading
import time
from collections.abc import Sequence

from metabonk.encoding.ladder import RUNGS, FrameKind, PoolKind
from metabonk.encoding.session import EncoderOpener, EncoderSession, OpenFailure
from metabonk.errors import EncoderBroken, EncodingError
from metabonk.frame import Frame
from metabonk.messages.streams import Thought
from metabonk.messages.workers import DesiredState, StreamState
from metabonk.streaming.hub import Hub
from metabonk.system.rate import Rate
from metabonk.worker.encode_watchdog import HANG_S, EncodeWatchdog
from metabonk.worker.frame_queue import FrameQueue
from metabonk.worker.quality import AdaptiveQuality, render_size
from metabonk.worker.stream_stats import StreamStats

log = logging.getLogger(__name__)

RETRY_S = 0.5

EPISODE_WAIT_S = 3.0
"""Longest wait for the game to be drawn at the viewers' size. A standby episode ends in a
second or two; one that doesn't is scaled up until it ends."""

RECHECK_S = 5.0
"""Interval between checks whether another encoder should take over."""

STABLE_AFTER_S = 30.0
"""An encoder that has run this long is healthy: its back-off starts over."""


class Streamer:
    """Owner of the encode thread of one stream.

    Args:
        opener: opens encoders.
        hub: takes the access units.
        quality: what the stream may be.
        enabled: false where the user wants no streams at all.
        hang_s: how long a driver may take for a call, seconds.
    """

    def __init__(
        self,
        opener: EncoderOpener,
        hub: Hub,
        quality: AdaptiveQuality,
        *,
        enabled: bool,
        hang_s: float = HANG_S,
    ) -> None:
        self._opener = opener
        self._hub = hub
        self._quality = quality
        self._disabled = "" if enabled else "streaming is switched off (stream.enabled)"
        # The rung isn't known yet; the render size hardly depends on it.
        self._render_size = render_size(quality.settings_for(RUNGS[0]))
        self._queue = FrameQueue()
        self._changed = threading.Condition()
        self._told = threading.Event()
        self._desired = DesiredState.STANDBY
        self._desired_since = self._opened_at = self._rechecked_at = time.monotonic()
        self._desired_reason = "the director has not decided yet"
        self._drawn_large = False
        self._session: EncoderSession | None = None
        self._unpublished: list[Thought] = []
        self._closed = False
        self._last_error: str | None = None
        self._shown = Rate()
        self._encoded = Rate()
        self._state: tuple[StreamState, str] | None = None
        self._thread = self._make_thread()
        self._watchdog = EncodeWatchdog(self._replace_thread, hang_s)

    def start(self) -> None:
        """Start the encode thread, and the one that notices when it hangs."""
        self._thread.start()
        self._watchdog.start()

    def close(self) -> None:
        """End the stream and release its session."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(3.0)
        self._watchdog.close()

    def set_desired(self, desired: DesiredState, reason: str) -> None:
        """Take the director's assignment; repeating it changes nothing."""
        self._told.set()
        with self._changed:
            if desired is not self._desired:
                self._desired = desired
                self._desired_since = time.monotonic()
            self._desired_reason = reason
            self._changed.notify_all()

    def disable(self, reason: str) -> None:
        """End the stream for good."""
        with self._changed:
            self._disabled = reason
            self._changed.notify_all()

    def wait_for_desired(self, timeout_s: float) -> bool:
        """Wait for the first assignment; return whether it came within ``timeout_s`` seconds."""
        return self._told.wait(timeout_s)

    @property
    def wanted(self) -> bool:
        """True if there should be a stream."""
        return not self._disabled and self._desired is DesiredState.LIVE

    @property
    def render_size(self) -> tuple[int, int] | None:
        """Width and height to draw at from the next episode on, pixels; None: small, as unseen."""
        return self._render_size if self.wanted else None

    @property
    def fps(self) -> int | None:
        """Rate at which frames are to be submitted; None while no encoder is open."""
        session = self._session
        return session.settings.fps if session else None

    @property
    def accepts_cuda_frames(self) -> bool:
        """True if the open encoder takes frames in GPU memory."""
        session = self._session
        return session is not None and FrameKind.CUDA in session.rung.frames

    def on_episode_start(self, *, large: bool) -> None:
        """Note that an episode has begun, and whether it is drawn at the viewers' size."""
        self._quality.on_episode_start()
        with self._changed:
            self._drawn_large = large
            self._changed.notify_all()

    def submit_frame(
        self,
        frame: Frame,
        *,
        waited_s: float = 0.0,
        deciding_s: float = 0.0,
        repeat_at: Sequence[float] = (),
    ) -> None:
        """Queue a drawn frame; never waits.

        Args:
            frame: newer than the one before.
            waited_s: how long the game had to wait for its clock before, seconds.
            deciding_s: how long the policy had decided before, seconds.
            repeat_at: see ``FrameQueue.put``.
        """
        self._shown.count()
        with self._changed:
            dropped = self._queue.put(frame, repeat_at)
            self._changed.notify_all()
        self._quality.on_drawn(time.monotonic(), waited_s, deciding_s, dropped=dropped)

    def stats(self) -> StreamStats:
        """Return the stream as it is now; thread-safe."""
        session = self._session
        state, reason = self._state or (StreamState.STANDBY, self._desired_reason)
        return StreamStats(
            enabled=not self._disabled,
            state=state,
            reason=reason,
            backend=session.rung.backend if session else "",
            settings=session.settings if session else None,
            quality=self._quality.note(session.rung) if session else None,
            last_error=self._last_error,
            nvenc_slot=(
                session.lease.slot if session and session.rung.pool_kind is PoolKind.NVENC else None
            ),
            frames_ok=self._encoded.total,
            frames_fps=self._shown.per_second() if session else 0.0,
            frames_dropped=self._queue.dropped,
        )

    def _make_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="encode", daemon=True)

    def _run(self) -> None:
        try:
            while not self._closed and not self._is_replaced():
                if not self.wanted:
                    self._standby()
                elif self._session is None:
                    self._open()
                else:
                    self._encode(self._session)
        finally:
            if not self._is_replaced():
                self._drop_session()

    def _is_replaced(self) -> bool:
        """Tell whether the calling encode thread hung and was replaced."""
        return threading.current_thread() is not self._thread

    def _replace_thread(self) -> None:
        """Give up on an encode thread that hangs, as no thread can be ended, and start another."""
        with self._changed:
            session, self._session = self._session, None
            if self._closed or session is None:
                return
            self._queue.clear()
            self._thread = self._make_thread()
        reason = (
            f"{session.rung.backend} has not answered for {self._watchdog.timeout_s:.0f} s: the "
            "driver hangs. Its session is lost until this worker ends; 'nvidia-smi' and 'dmesg' "
            "may say why"
        )
        self._opener.mark_hung(session, reason)
        self._last_error = reason
        self._set_state(StreamState.ERROR, reason)
        self._thread.start()

    def _standby(self) -> None:
        self._drop_session()
        self._set_state(StreamState.STANDBY, self._disabled or self._desired_reason)
        self._hub.expire_recent()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.wanted, timeout=RETRY_S)

    def _open(self) -> None:
        wait_s = self._desired_since + EPISODE_WAIT_S - time.monotonic()
        if not self._drawn_large and wait_s > 0:
            self._set_state(StreamState.STARTING, "the stream starts when this episode has ended")
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or self._drawn_large or not self.wanted, wait_s
                )
            return
        try:
            opened = self._opener.open(self._quality.settings_for)
        except EncodingError as error:
            self._fail(str(error))
            return
        if isinstance(opened, OpenFailure):
            if opened.limit_reached:
                self._set_state(StreamState.STANDBY, opened.reason)
                self._pause()
            else:
                self._fail(opened.reason)
            return
        self._set_state(StreamState.STARTING, "waiting for the first keyframe")
        self._rechecked_at = time.monotonic()
        with self._changed:
            self._queue.clear()
        self._begin(opened)

    def _begin(self, session: EncoderSession) -> None:
        """Switch to an encoder that was opened; viewers see a new epoch."""
        settings = session.settings
        self._hub.open_epoch(settings.width, settings.height, settings.fps)
        self._shown.restart()
        self._opened_at = time.monotonic()
        self._quality.restart(session.rung, self._opened_at)
        with self._changed:
            self._render_size = render_size(settings)
            self._session = session

    def _encode(self, session: EncoderSession) -> None:
        frame = self._next_frame()
        if frame is None:
            return
        began = time.monotonic()
        try:
            with self._watchdog.watching():
                units = session.encoder.encode(frame, keyframe=self._hub.keyframe_wanted())
        except EncoderBroken as error:
            if self._is_replaced():
                session.close()
                return
            self._forget_session()
            self._opener.mark_broken(session, str(error))
            self._last_error = str(error)
            self._set_state(StreamState.STARTING, f"the encoder broke and is reopened: {error}")
            return
        if self._is_replaced():
            session.close()
            return
        self._unpublished += frame.thoughts
        for unit in units:
            self._hub.publish(unit, self._unpublished)
            self._unpublished = []
            self._encoded.count()
        if units:
            self._set_state(StreamState.LIVE, f"live through {session.rung.backend}")
        now = time.monotonic()
        self._quality.on_encoded(now - began)
        self._maintain(session, now)

    def _next_frame(self) -> Frame | None:
        """Wait for a frame, or for the time to repeat the last one; None: look around first."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._queue or not self.wanted,
                max(0.0, min(RETRY_S, self._queue.due_at() - time.monotonic())),
            )
            if self._closed or not self.wanted:
                return None
            if self._queue:
                return self._queue.take()
            now = time.monotonic()
            if now < self._queue.due_at():
                return None
            frame = self._queue.repeat()
        self._shown.count()
        self._quality.on_repeated(now)
        return frame

    def _maintain(self, session: EncoderSession, now: float) -> None:
        """Change the encoder or the quality where that is called for."""
        if now - self._opened_at > STABLE_AFTER_S:
            self._opener.mark_healthy(session)
        if now - self._rechecked_at > RECHECK_S:
            self._rechecked_at = now
            self._migrate(session)
        else:
            self._adapt(session, now)

    def _migrate(self, session: EncoderSession) -> None:
        """Move to another encoder where there is a reason to."""
        try:
            successor = self._opener.move(session, self._quality.settings_for)
        except EncodingError as error:
            self._last_error = str(error)
            return
        if successor is not None:
            self._begin(successor)
            session.close()

    def _adapt(self, session: EncoderSession, now: float) -> None:
        """Step to the quality that the machine keeps up with, under the same lease."""
        if (step := self._quality.step(session.rung, now)) is None:
            return
        settings, sample = step
        log.info(
            "switches to %s from %s: in %.1f s %d frames were drawn, %d dropped; deciding took "
            "%.2f s, the game %.2f s, encoding %.2f s; %.2f cores were idle",
            settings,
            session.settings,
            sample.seconds,
            sample.drawn,
            sample.dropped,
            sample.deciding_s,
            sample.drawing_s,
            sample.encoding_s,
            sample.spare_s / sample.seconds,
        )
        try:
            with self._watchdog.watching():
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
        self._forget_session()
        self._last_error = reason
        self._set_state(StreamState.STARTING, f"the encoder is reopened: {reason}")

    def _fail(self, reason: str) -> None:
        self._last_error = reason
        self._set_state(StreamState.ERROR, reason)
        self._pause()

    def _pause(self) -> None:
        self._hub.expire_recent()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self.wanted, RETRY_S)

    def _forget_session(self) -> None:
        with self._changed:
            self._session = None

    def _drop_session(self) -> None:
        with self._changed:
            session, self._session = self._session, None
            self._queue.clear()
        if session is not None:
            session.close()

    def _set_state(self, state: StreamState, reason: str) -> None:
        if self._state != (state, reason):
            self._state = (state, reason)
            self._hub.set_state(state, reason)
