"""Streams of another size, brought to the program's.

Everything is decoded, since each frame refers to the one before; what is encoded again depends on
the time that this may take. It runs at the lowest priority, without an encoder session: those are
for the workers that are to be shown.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable

import av
import numpy as np
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.backends.av import AvEncoder
from metabonk.encoding.encoder import EncoderSettings
from metabonk.errors import EncodingError
from metabonk.frame import Frame
from metabonk.program.card import CODEC
from metabonk.settings.schema import available_cores
from metabonk.system.process import lower_priority

log = logging.getLogger(__name__)

MAX_QUEUED = 30
"""Access units; a second of them at most, beyond which it starts again at a keyframe."""

CORES_PER_CORE = 8
MAX_PAUSE_S = 0.25
"""However dear a frame is, another one follows by then: viewers must not see the card."""


def share_of_core(cores: int) -> float:
    """Return the share of one core that resizing may take on a machine with so many."""
    return min(1.0, cores / CORES_PER_CORE)


class Resizer:
    """Thread that decodes one stream and encodes it again at another size.

    Args:
        settings: of the program.
        on_unit: gets this resizer and each access unit, on the thread.
        name: of the source.
        share: of a core that it may take, 0 to 1; default: by cores.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        on_unit: Callable[["Resizer", AccessUnit], None],
        name: str,
        share: float | None = None,
    ) -> None:
        self._settings = settings
        self._on_unit = on_unit
        self._share = share_of_core(available_cores()) if share is None else share
        self._units: queue.Queue[AccessUnit | None] = queue.Queue(MAX_QUEUED)
        self._awaits_keyframe = True
        self._keyframe_wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"resize-{name}", daemon=True)
        self._thread.start()

    def put(self, unit: AccessUnit) -> None:
        """Take a frame of the stream; never waits."""
        if self._awaits_keyframe and not unit.keyframe:
            return
        try:
            self._units.put_nowait(unit)
            self._awaits_keyframe = False
        except queue.Full:
            self._awaits_keyframe = True

    def request_keyframe(self) -> None:
        """Let the next frame be a keyframe."""
        self._keyframe_wanted.set()

    def close(self) -> None:
        """End the thread after the frame that it is at; returns at once."""
        while True:
            try:
                self._units.put_nowait(None)
                return
            except queue.Full:
                self._drop_one()

    def _drop_one(self) -> None:
        try:
            self._units.get_nowait()
        except queue.Empty:
            return

    def _run(self) -> None:
        lower_priority()
        try:
            self._resize()
        except EncodingError as error:
            # Without frames its source is passed over.
            log.warning("a stream can't be resized: %s", error)

    def _resize(self) -> None:
        decoder, encoder = _decoder(), AvEncoder(self._settings, CODEC)
        spent_from, next_at, keyframe_at = time.thread_time(), float("-inf"), float("-inf")
        while (unit := self._units.get()) is not None:
            frame = _decode(decoder, unit)
            now = time.monotonic()
            if frame is None or now < next_at:
                continue
            is_due = unit.captured_at - keyframe_at >= self._settings.gop_s
            if is_due or self._keyframe_wanted.is_set():
                self._keyframe_wanted.clear()
                keyframe_at = unit.captured_at
            pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            is_keyframe = keyframe_at == unit.captured_at
            for resized in encoder.encode(Frame(pixels, unit.captured_at), keyframe=is_keyframe):
                self._on_unit(self, resized)
            spent = time.thread_time()
            # From here, so that a share is kept from one encoded frame to the next.
            next_at = now + min(MAX_PAUSE_S, (spent - spent_from) / self._share)
            spent_from = spent


def _decoder() -> VideoCodecContext:
    decoder = CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    decoder.flags |= av.codec.context.Flags.low_delay
    return decoder


def _decode(decoder: VideoCodecContext, unit: AccessUnit) -> VideoFrame | None:
    """Return the newest frame that comes out; None for one that is damaged."""
    try:
        frames = decoder.decode(av.Packet(unit.data))
    except FFmpegError as error:
        log.warning("a frame can't be decoded: %s", error)
        return None
    return frames[-1] if frames else None
