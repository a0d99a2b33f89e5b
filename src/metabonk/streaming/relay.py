"""Streams joined once and handed on to any number of viewers.

A relay is one viewer of a worker's WebSocket and the fan-out to its own viewers, who get what they
would get from the worker: keyframes forced for them, thoughts, the loss of whole GOPs if they are
slow. It tells the worker whom it stands for. Why: ``docs/adr/0013-stream-relay.md``.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from metabonk.errors import WireError
from metabonk.messages.streams import (
    PolicyMessage,
    SaliencyMessage,
    StateMessage,
    StillMessage,
)
from metabonk.streaming.fanout import Fanout
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.stills import StillQuestions
from metabonk.streaming.unpack import StreamReader

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 16 << 20
MAX_QUEUED_MESSAGES = 4

OPEN_TIMEOUT_S = 2.0
"""For the connection, and then for the stream's first messages."""

CLOSE_TIMEOUT_S = 2.0

KEYFRAME_POLL_S = 0.5
"""A viewer over WebRTC may lose a frame at any time, and then asks for a keyframe."""

LOCAL_PING_S, REMOTE_PING_S = 20.0, 5.0
"""A machine that has vanished sends nothing that would end the connection."""


class StreamAddress(NamedTuple):
    """Address of a stream.

    Attributes:
        url: ``ws://…``; its query must ask for a relay.
        headers: sent with the request.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()


class StreamUnreachable(Exception):
    """The server of a stream does not answer, or not as such a server would."""


class Relay:
    """One stream, on the running loop, until its server or ``close`` ends it.

    Args:
        address: of the stream.

    Attributes:
        fanout: its viewers.
        policy: what the stream says of its policy, once it is open.
        stills: of the stream, once it is open.
        users: who keep it open.
        close_code: with which its server closed it (RFC 6455, 7.4).
        close_reason: likewise.
    """

    def __init__(self, address: StreamAddress) -> None:
        self._address = address
        self._audience_changed = asyncio.Event()
        self.fanout = Fanout(on_audience=self._audience_changed.set)
        self.policy = PolicyMessage(actions=[])
        self.stills = StillQuestions(self._send)
        self.users = 0
        self.close_code = 1011
        self.close_reason = ""
        self._server: ClientConnection | None = None
        self._opened = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run())

    @property
    def ended(self) -> bool:
        """True once its viewers have been sent away."""
        return self._running.done()

    async def open(self) -> None:
        """Wait until the stream has said what it is.

        Raises:
            StreamUnreachable: it can't be joined.
        """
        try:
            async with asyncio.timeout(2 * OPEN_TIMEOUT_S):
                await asyncio.shield(self._opened)
        except TimeoutError:
            raise StreamUnreachable("it accepts connections but sends nothing") from None

    def close(self) -> "asyncio.Task[None]":
        """Leave the stream; return the task that does, which may take ``CLOSE_TIMEOUT_S``."""
        self._running.cancel()
        return self._running

    async def _run(self) -> None:
        reason = "it closed the connection"
        try:
            async with connect(
                self._address.url,
                additional_headers=self._address.headers,
                proxy=None,
                compression=None,
                ping_interval=REMOTE_PING_S if self._address.headers else LOCAL_PING_S,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=MAX_QUEUED_MESSAGES,
            ) as server:
                await self._relay(server)
        except (OSError, TimeoutError, InvalidHandshake) as error:
            reason = str(error) or type(error).__name__
        except (WireError, ValidationError) as error:
            reason = "what it sends is no stream"
            log.warning("%s is not relayed: %s", self._address.url, error)
        finally:
            self.fanout.close()
            if not self._opened.done() and self.users:
                self._opened.set_exception(StreamUnreachable(reason))

    async def _send(self, text: str) -> None:
        with contextlib.suppress(ConnectionClosed):  # Its viewers are about to be sent away.
            if self._server is not None:
                await self._server.send(text)

    async def _relay(self, server: ClientConnection) -> None:
        self._server = server
        reporting = asyncio.create_task(self._report())
        try:
            await self._receive(server)
        finally:
            reporting.cancel()
        self.close_code, self.close_reason = close_code(server), server.close_reason or ""

    async def _report(self) -> None:
        """Tell the server about the viewers; it may be slow, and nobody else waits for it."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEYFRAME_POLL_S):
                    await self._audience_changed.wait()
            has_changed = self._audience_changed.is_set()
            self._audience_changed.clear()
            audience = self.fanout.audience()
            audience.keyframe = self.fanout.keyframe_wanted()
            if has_changed or audience.keyframe:
                await self._send(audience.model_dump_json())

    async def _receive(self, server: ClientConnection) -> None:
        reader = StreamReader()
        with contextlib.suppress(ConnectionClosed):
            async for message in server:
                match reader.read(message, time.monotonic()):
                    case Epoch() as epoch:
                        self.fanout.begin_epoch(epoch)
                    case Fragment() as fragment:
                        self.fanout.send(fragment)
                    case None:
                        pass
                    case told:
                        self._pass_on(told)

    def _pass_on(self, told: PolicyMessage | StateMessage | SaliencyMessage | StillMessage) -> None:
        match told:
            case StillMessage():
                self.stills.answer(told)
            case PolicyMessage():
                self.policy = told
            case SaliencyMessage():
                self.fanout.send_saliency(told)
            case StateMessage():
                self.fanout.set_state(told.state, told.reason)
                if not self._opened.done():
                    self._opened.set_result(None)


class Relays:
    """The streams that are watched through this process, for one event loop."""

    def __init__(self) -> None:
        self._relays: dict[StreamAddress, Relay] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def join(self, address: StreamAddress) -> AsyncIterator[Relay]:
        """Open a stream, or share it with those who have; the last one to leave closes it.

        Args:
            address: of the stream.

        Raises:
            StreamUnreachable: it can't be joined.
        """
        relay = self._relays.get(address)
        if relay is None or relay.ended:
            relay = self._relays[address] = Relay(address)
        relay.users += 1
        try:
            await relay.open()
            yield relay
        finally:
            relay.users -= 1
            if relay.users == 0:
                if self._relays.get(address) is relay:
                    del self._relays[address]
                closing = relay.close()
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Leave every stream."""
        closing = self._closing | {relay.close() for relay in self._relays.values()}
        self._relays.clear()
        await asyncio.gather(*closing, return_exceptions=True)


class RelayedResponse(Response):
    """Endless response for a viewer of a relayed stream, which is open while it is sent.

    Args:
        relays: of this process.
        address: of the stream.
        make: returns the response for a viewer of the fan-out.
        refuse: returns the response for a stream that can't be joined.
    """

    def __init__(
        self,
        relays: Relays,
        address: StreamAddress,
        make: Callable[[Fanout], Response],
        refuse: Callable[[StreamUnreachable], Response],
    ) -> None:
        super().__init__()
        self._relays = relays
        self._address = address
        self._make = make
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the stream ends or the viewer leaves."""
        try:
            async with self._relays.join(self._address) as relay:
                await self._make(relay.fanout)(scope, receive, send)
        except StreamUnreachable as error:
            await self._refuse(error)(scope, receive, send)


def close_code(server: ClientConnection) -> int:
    """Return the server's close code; the reserved ones must not be sent (RFC 6455, 7.4.1)."""
    code = server.close_code
    return 1011 if code is None or code in (1005, 1006, 1015) else code
