"""The program and its viewers."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from fastapi import FastAPI

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.encoder import EncoderSettings
from metabonk.messages.program import RunningOrder
from metabonk.messages.streams import AudienceMessage
from metabonk.messages.workers import StreamState
from metabonk.program.card import FPS, Card
from metabonk.program.cutter import Cutter, Verdict
from metabonk.program.source import Source
from metabonk.settings.schema import Stream
from metabonk.streaming.fanout import Fanout
from metabonk.streaming.gop import Packer
from metabonk.streaming.relay import Relays, StreamAddress

log = logging.getLogger(__name__)

ORDER_INTERVAL_S = 0.5
LINGER_S = 3.0
"""Time that sources stay joined after the last viewer: many players connect twice."""

MIN_STEP_S = 0.002
"""Between two frames: formats count in milliseconds."""

LIVE = "the program is always on"

GetOrder = Callable[[], Awaitable[RunningOrder | None]]


class Channel:
    """The program: what is shown, from the first viewer to the last. Used on one event loop.

    Args:
        stream: settings of the streams.
        order: returns what is to be shown; None while that can't be known.

    Attributes:
        fanout: its viewers.
        has_failed: an internal error has ended it; only a restart helps.
    """

    def __init__(self, stream: Stream, order: GetOrder) -> None:
        self._stream = stream
        self._order = order
        self._audience_changed = asyncio.Event()
        self.fanout = Fanout(on_audience=self._audience_changed.set)
        self.fanout.set_state(StreamState.LIVE, LIVE)
        self.has_failed = False

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Make the program while the application is served."""
        running = asyncio.create_task(self._run())
        running.add_done_callback(self._note_end)
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait([running])

    def _note_end(self, running: "asyncio.Task[None]") -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            self.has_failed = True
            log.error("an internal error has ended the program", exc_info=error)

    async def _run(self) -> None:
        while True:
            while self._viewers() == 0:
                self._audience_changed.clear()
                await self._audience_changed.wait()
            log.info("on: somebody watches")
            await self._show()
            log.info("off: nobody watches")

    async def _show(self) -> None:
        """Show the program until nobody watches."""
        order = await self._order()
        showing = _Showing(self.fanout, format_of(self._stream, order))
        tasks = [
            asyncio.create_task(showing.follow(self._order)),
            asyncio.create_task(showing.fill()),
            asyncio.create_task(self._until_alone()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await showing.close()
            self.fanout.end_epoch()

    async def _until_alone(self) -> None:
        while True:
            self._audience_changed.clear()
            if self._viewers():
                await self._audience_changed.wait()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await self._audience_changed.wait()
            if self._viewers() == 0:
                return

    def _viewers(self) -> int:
        audience = self.fanout.audience()
        return audience.dedicated + audience.broadcast


def format_of(stream: Stream, order: RunningOrder | None) -> EncoderSettings:
    """Return the format that the program has for as long as somebody watches."""
    hardware = order is not None and order.hardware
    width, height = stream.effective_size(hardware=hardware)
    return EncoderSettings(
        width=width,
        height=height,
        fps=stream.effective_fps,
        bitrate=stream.effective_bitrate(hardware=hardware),
        gop_s=stream.keyframe_interval_s,
    )


class _Showing:
    """The program from one first viewer to the last."""

    def __init__(self, fanout: Fanout, form: EncoderSettings) -> None:
        self._fanout = fanout
        self._format = form
        self._relays = Relays()
        self._sources: dict[str, Source] = {}
        self._cutter = Cutter(time.monotonic())
        # Pauses stay as long as they are: what goes on air has to keep pace with the clock.
        self._packer = Packer(shortens_pauses=False)
        self._packer.open_epoch(form.width, form.height, form.fps)
        self._published_at = float("-inf")

    async def close(self) -> None:
        for source in self._sources.values():
            source.close()
        await self._relays.close()

    async def follow(self, get_order: GetOrder) -> None:
        """Join what is to be shown, and leave what is not."""
        while True:
            order = await get_order()
            if order is not None:
                self._join(order)
            await asyncio.sleep(ORDER_INTERVAL_S)

    async def fill(self) -> None:
        """Show the card where nothing else comes."""
        # Made beforehand: a gap must not last as long as it takes to open an encoder.
        card = await asyncio.to_thread(Card, self._format)
        is_shown = False
        while True:
            now = time.monotonic()
            was_shown, is_shown = is_shown, self._cutter.is_card_due(now)
            if is_shown:
                keyframe = self._fanout.keyframe_wanted() or not was_shown
                units = await asyncio.to_thread(card.frame, now, keyframe=keyframe)
                is_shown = self._publish_card(units)
            await asyncio.sleep(1 / FPS)

    def _publish_card(self, units: Sequence[AccessUnit]) -> bool:
        """Show frames of the card; False if a source was shown meanwhile, which is their end.

        Also where that source has gone again: its frames would be taken for their references.
        """
        if self._cutter.shows_card:
            for unit in units:
                self._publish(unit)
        return self._cutter.shows_card

    def _join(self, order: RunningOrder) -> None:
        wanted = order.sources[:1]
        wanted += [each for each in order.sources if each.live and each not in wanted][:1]
        self._cutter.set_order([source.name for source in order.sources])
        addresses = {source.name: StreamAddress(source.address) for source in wanted}
        for name, source in list(self._sources.items()):
            is_needed = name in addresses or name == self._cutter.in_front
            if not is_needed or addresses.get(name, source.address) != source.address:
                source.close()
                del self._sources[name]
        for name, address in addresses.items():
            if name not in self._sources:
                self._sources[name] = Source(
                    name, address, self._relays, self._format, self._take, self._cutter.lose
                )
        for name, source in self._sources.items():
            source.set_audience(self._audience(name, order))

    def _audience(self, name: str, order: RunningOrder) -> AudienceMessage:
        """Return whom the program stands for at a worker: who is on air has all its viewers."""
        audience = self._fanout.audience()
        count = audience.dedicated + audience.broadcast
        if name == order.pin:
            return AudienceMessage(dedicated=1, broadcast=max(0, count - 1))
        return AudienceMessage(broadcast=count if name == self._cutter.in_front else 0)

    def _take(self, name: str, unit: AccessUnit) -> None:
        source = self._sources.get(name)
        verdict = self._cutter.judge(name, time.monotonic(), keyframe=unit.keyframe)
        if verdict is Verdict.CUT:
            log.info("shows %s", name)
        if verdict in (Verdict.SHOWN, Verdict.CUT):
            self._publish(unit)
        is_wanted = verdict is Verdict.SHOWN and self._fanout.keyframe_wanted()
        if source is not None and (is_wanted or verdict is Verdict.AWAITS_KEYFRAME):
            source.request_keyframe()

    def _publish(self, unit: AccessUnit) -> None:
        at = max(unit.captured_at, self._published_at + MIN_STEP_S)
        self._published_at = at
        epoch, fragment = self._packer.add(AccessUnit(unit.data, at, unit.keyframe))
        if epoch is not None:
            self._fanout.begin_epoch(epoch)
        if fragment is not None:
            self._fanout.send(fragment)
