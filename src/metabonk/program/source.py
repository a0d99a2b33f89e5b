"""One worker's stream, joined for the program."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.encoder import EncoderSettings
from metabonk.messages.streams import AudienceMessage, StateMessage
from metabonk.messages.workers import StreamState
from metabonk.program.clock import SourceClock
from metabonk.program.resizer import Resizer
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.relay import Relay, Relays, StreamAddress, StreamUnreachable
from metabonk.streaming.viewer import Viewer

RETRY_S = 0.5
"""Until a stream that can't be joined, or has broken off, is joined again."""

MIN_KEYFRAME_INTERVAL_S = 0.5


class Source:
    """A stream, joined from its making until ``close``, on the running loop.

    Args:
        name: of the worker.
        address: of its stream.
        relays: of this process.
        settings: of the program.
        on_unit: gets each access unit, at the program's size.
        on_end: called when the stream ends or breaks off.
    """

    def __init__(
        self,
        name: str,
        address: StreamAddress,
        relays: Relays,
        settings: EncoderSettings,
        on_unit: Callable[[str, AccessUnit], None],
        on_end: Callable[[str], None],
    ) -> None:
        self.name = name
        self.address = address
        self._relays = relays
        self._settings = settings
        self._on_unit = on_unit
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._audience = AudienceMessage()
        self._joined: tuple[Relay, Viewer] | None = None
        self._clock = SourceClock()
        self._resizer: Resizer | None = None
        self._asked_at = float("-inf")
        self._running = asyncio.create_task(self._run())

    def close(self) -> None:
        """Leave the stream."""
        self._running.cancel()

    def set_audience(self, audience: AudienceMessage) -> None:
        """Say whom the program stands for at this worker."""
        if audience != self._audience:
            self._audience = audience
            self._report(audience)

    def request_keyframe(self) -> None:
        """Ask for a keyframe, unless one was asked for a moment ago."""
        now = time.monotonic()
        if now - self._asked_at < MIN_KEYFRAME_INTERVAL_S:
            return
        self._asked_at = now
        if self._resizer is not None:
            self._resizer.request_keyframe()
        else:
            self._report(self._audience.model_copy(update={"keyframe": True}))

    def _report(self, audience: AudienceMessage) -> None:
        if self._joined is not None:
            relay, viewer = self._joined
            relay.fanout.change_audience(viewer, audience)

    async def _run(self) -> None:
        try:
            while True:
                with contextlib.suppress(StreamUnreachable):
                    async with self._relays.join(self.address) as relay:
                        await self._watch(relay)
                self._end()
                await asyncio.sleep(RETRY_S)
        finally:
            self._end()

    async def _watch(self, relay: Relay) -> None:
        with relay.fanout.join_for(self._audience) as viewer:
            self._joined = relay, viewer
            try:
                async for item in viewer:
                    self._take(item)
            finally:
                self._joined = None

    def _take(self, item: object) -> None:
        match item:
            case Epoch():
                self._stop_resizing()
                self._clock.restart()
                if (item.width, item.height) != (self._settings.width, self._settings.height):
                    self._resizer = Resizer(self._settings, self._pass_on_later, self.name)
            case Fragment():
                self._take_frame(item)
            case StateMessage() if item.state is not StreamState.LIVE:
                self._end()
            case _:
                pass

    def _take_frame(self, fragment: Fragment) -> None:
        at = self._clock.at(fragment.decode_time, fragment.unit.captured_at)
        unit = replace(fragment.unit, captured_at=at)
        if self._resizer is not None:
            self._resizer.put(unit)
        else:
            self._on_unit(self.name, unit)

    def _pass_on_later(self, resizer: Resizer, unit: AccessUnit) -> None:
        # Fails once the loop is closed, when nobody is there to see it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._pass_on, resizer, unit)

    def _pass_on(self, resizer: Resizer, unit: AccessUnit) -> None:
        # One that was closed may have been at a frame.
        if resizer is self._resizer:
            self._on_unit(self.name, unit)

    def _end(self) -> None:
        self._stop_resizing()
        self._on_end(self.name)

    def _stop_resizing(self) -> None:
        if self._resizer is not None:
            self._resizer.close()
            self._resizer = None
