"""The viewers of one stream who watch over WebRTC.

The access units are passed on as they left the encoder: each viewer costs packets, and none a
second encode. A viewer joins the hub when its connection stands, so that the keyframe that is
forced for it can reach it; a picture that was lost on the way (PLI, FIR) is answered by a keyframe
for everyone, at most one every ``hub.REPEAT_S``. UDP makes nobody wait, so no queue grows: what a
viewer can't take is lost on the way.

A connection ends with the stream, as over HTTP; the page then asks for the reason elsewhere. It
also ends when its viewer has vanished: nothing was heard of it for ``SILENCE_S``. ICE notices the
same by itself, but only after half a minute (consent, RFC 7675).
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import aioice.ice
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet
from fastapi import FastAPI

from metabonk.messages import StateMessage, StreamState
from metabonk.streaming.gop import Fragment
from metabonk.streaming.hub import Hub, Viewer
from metabonk.streaming.sdp import InvalidOffer, take

log = logging.getLogger(__name__)

CLOCK_RATE = 90_000
"""Of H.264 in RTP (RFC 6184, 8.2.1)."""

MOST_VIEWERS = 64
"""A packet costs some 50 µs of Python; that many viewers at 4 Mbit/s fill a core."""

SILENCE_S = 10.0
"""A receiver reports about once a second (RFC 3550, 6.2)."""

CONNECT_S = 15.0
WATCH_S = 1.0

# aiortc's parser has no error of its own for an offer that makes no sense.
MALFORMED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    InvalidAccessError,
    InvalidStateError,
)


class TooManyViewers(Exception):
    """Every place is taken."""


class NoCommonCodec(Exception):
    """The viewer doesn't take H.264 in packets of mode 1."""


class WebRtc:
    """Makes, keeps and ends the connections of one stream; used in one event loop.

    Args:
        hub: of the stream.
        silence_s: after so long without a word a viewer has vanished, seconds.
    """

    def __init__(self, hub: Hub, *, silence_s: float = SILENCE_S) -> None:
        self._hub = hub
        self._silence_s = silence_s
        self._sessions: dict[str, _Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    async def open(self, offer: str, viewer: str, *, dedicated: bool) -> tuple[str, str]:
        """Answers an offer.

        Args:
            offer: SDP, with all of its candidates or none.
            viewer: IP address that it came from.
            dedicated: whether the viewer chose this stream.

        Returns:
            The name of the new session, unguessable, and the SDP answer with all candidates.

        Raises:
            OfferRefused: it makes no sense, or asks for something else than one video.
            NoCommonCodec: the viewer can't decode the stream.
            TooManyViewers: ``MOST_VIEWERS`` watch already.
        """
        taken = take(offer, viewer)
        if len(self._sessions) >= MOST_VIEWERS:
            raise TooManyViewers
        name = secrets.token_urlsafe(16)
        session = _Session(self._hub, dedicated, self._silence_s, lambda: self._ended(name))
        self._sessions[name] = session
        try:
            answer = await session.answer(taken)
        except BaseException:
            await self.close(name)
            raise
        return name, answer

    async def close(self, name: str) -> bool:
        """Ends a session; false where there is none of this name."""
        session = self._sessions.pop(name, None)
        if session is None:
            return False
        await session.close()
        return True

    async def close_all(self) -> None:
        """Ends every session."""
        await asyncio.gather(*(self.close(name) for name in list(self._sessions)))

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Ends every session when the server stops."""
        try:
            yield
        finally:
            await self.close_all()

    def _ended(self, name: str) -> None:
        self._sessions.pop(name, None)


class _Session:
    """One viewer's connection, and the task that ends it."""

    def __init__(
        self, hub: Hub, dedicated: bool, silence_s: float, on_end: Callable[[], None]
    ) -> None:
        self._on_end = on_end
        self._silence_s = silence_s
        self._hub = hub
        self._track = _LiveTrack(hub, dedicated)
        # No servers: candidates are this machine's own, and nobody outside is asked for more.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._opened_at = time.monotonic()
        self._watching: asyncio.Task[None] | None = None

    async def answer(self, offer: str) -> str:
        connection = self._connection
        sending = connection.addTransceiver(self._track, direction="sendonly")
        sending.setCodecPreferences(
            [
                codec
                for codec in RTCRtpSender.getCapabilities("video").codecs
                if codec.mimeType in ("video/H264", "video/rtx")
            ]
        )
        # aiortc keeps the wish to itself, as its own encoders are the only ones it knows.
        setattr(sending.sender, "_send_keyframe", self._hub.request_keyframe)  # noqa: B010
        try:
            await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for transceiver in connection.getTransceivers():
                if transceiver is not sending:
                    transceiver.direction = "inactive"
            answer = await connection.createAnswer()
            await connection.setLocalDescription(answer)
        except OperationError:
            raise NoCommonCodec from None
        except MALFORMED as error:
            why = str(error) or type(error).__name__
            raise InvalidOffer(f"the offer can't be used: {why[:200]}") from None
        self._watching = asyncio.create_task(self._watch(sending.sender))
        return str(connection.localDescription.sdp)

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._end()

    async def _end(self) -> None:
        self._track.stop()
        # aiortc can't close a connection whose offer it didn't take; that one holds no socket yet.
        with contextlib.suppress(AttributeError):
            await self._connection.close()

    async def _watch(self, sender: RTCRtpSender) -> None:
        """Ends the session when it is over, for whatever reason."""
        while (why := await self._over(sender)) is None:
            await asyncio.wait([self._track.ended], timeout=WATCH_S)
        log.info("a WebRTC viewer's connection ends: %s", why)
        self._on_end()
        await self._end()

    async def _over(self, sender: RTCRtpSender) -> str | None:
        """Why there is nothing left to do, or None while there is."""
        if self._track.ended.done():
            return "the stream ended"
        state = self._connection.connectionState
        if state in ("failed", "closed"):
            return f"it {'failed' if state == 'failed' else 'was closed'}"
        age = time.monotonic() - self._opened_at
        if state != "connected":
            return None if age < CONNECT_S else f"it was not made within {CONNECT_S:.0f} s"
        silence = min(age, await _silence(sender))
        if silence < self._silence_s:
            return None
        return f"its viewer has said nothing for {silence:.0f} s"


async def _silence(sender: RTCRtpSender) -> float:
    """Seconds since the receiver's last report; infinite before the first."""
    reports = (await sender.getStats()).values()
    heard = [report.timestamp for report in reports if report.type == "remote-inbound-rtp"]
    if not heard:
        return float("inf")
    last: datetime = max(heard)
    return (datetime.now(UTC) - last).total_seconds()


class _LiveTrack(MediaStreamTrack):
    """The hub's pictures as packets; joins when the first is asked for."""

    kind = "video"

    def __init__(self, hub: Hub, dedicated: bool) -> None:
        super().__init__()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hub = hub
        self._dedicated = dedicated
        self._viewer: Viewer | None = None

    async def recv(self) -> "Packet[Any]":
        """The next access unit.

        Raises:
            MediaStreamError: the stream has ended.
        """
        if self.ended.done():
            raise MediaStreamError
        if self._viewer is None:
            self._viewer = self._hub.join(self._dedicated)
        async for item in self._viewer:
            if isinstance(item, Fragment):
                packet: Packet[Any] = Packet(item.unit.data)
                packet.pts = round(item.unit.captured_at * CLOCK_RATE)
                packet.time_base = Fraction(1, CLOCK_RATE)
                return packet
            if isinstance(item, StateMessage) and item.state is not StreamState.LIVE:
                break
        self.stop()
        raise MediaStreamError

    def stop(self) -> None:
        """Leaves the hub; may be repeated."""
        super().stop()
        if self._viewer is not None:
            self._viewer.close()
        if not self.ended.done():
            self.ended.set_result(None)


def restrict_ice_addresses(addresses: Sequence[str] | None) -> None:
    """Has every connection of this process listen on these addresses and on no other.

    aioice listens on all of a machine's addresses but loopback, and has no setting for it.

    Args:
        addresses: IP addresses of this machine; None: all, and loopback too.
    """

    def chosen(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        if addresses is not None:
            return list(addresses)
        return [*_ALL_ADDRESSES(use_ipv4, use_ipv6), "127.0.0.1"]

    aioice.ice.get_host_addresses = chosen


_ALL_ADDRESSES = aioice.ice.get_host_addresses
