"""WebRTC viewers of one stream.

Access units are sent as they left the encoder: each viewer costs packets but no second encode. A
viewer joins the hub once its connection is established, so that the keyframe forced for it can
reach it. A frame lost on the way (PLI, FIR) is answered by a keyframe for everyone, at most one
every ``hub.MIN_KEYFRAME_INTERVAL_S``. UDP blocks nobody, so no queue grows: what a viewer can't
take is lost on the way.

A connection ends with the stream, as over HTTP; the page then gets the reason elsewhere. It also
ends once nothing was heard of its viewer for ``VIEWER_TIMEOUT_S``. ICE would notice by itself, but
only after half a minute (consent, RFC 7675).
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
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError
from av.packet import Packet
from fastapi import FastAPI

from metabonk.encoding.access_unit import TIMESCALE
from metabonk.messages.streams import StateMessage
from metabonk.messages.workers import StreamState
from metabonk.streaming.fanout import Fanout
from metabonk.streaming.gop import Fragment
from metabonk.streaming.sdp import InvalidOffer, complete_answer, ice_users, sanitize_offer
from metabonk.streaming.viewer import Viewer

log = logging.getLogger(__name__)

MAX_VIEWERS = 64
"""A packet costs some 50 µs of Python: this many viewers at 4 Mbit/s fill a core."""

VIEWER_TIMEOUT_S = 10.0
"""Receivers report about once a second (RFC 3550, 6.2)."""

CONNECT_TIMEOUT_S = 15.0
POLL_S = 1.0

# aiortc's parser has no error of its own for a malformed offer.
PARSER_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    InvalidAccessError,
    InvalidStateError,
)

_get_all_addresses = aioice.ice.get_host_addresses


class TooManyViewers(Exception):
    """``MAX_VIEWERS`` are connected already."""


class NoCommonCodec(Exception):
    """The viewer doesn't accept H.264 with packetization-mode 1."""


def restrict_ice_addresses(addresses: Sequence[str] | None) -> None:
    """Make every connection of this process listen on these addresses only.

    aioice listens on all of a machine's addresses except loopback, and has no setting for it.

    Args:
        addresses: IP addresses of this machine; None: all of them and loopback too.
    """

    def get_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        if addresses is not None:
            return list(addresses)
        return [*_get_all_addresses(use_ipv4, use_ipv6), "127.0.0.1"]

    aioice.ice.get_host_addresses = get_addresses


class WebRtc:
    """The WebRTC connections of one stream; used on one event loop.

    Args:
        hub: of the stream.
        viewer_timeout_s: without reports from a viewer until its connection ends, seconds.
    """

    def __init__(self, hub: Fanout, *, viewer_timeout_s: float = VIEWER_TIMEOUT_S) -> None:
        self._hub = hub
        self._viewer_timeout_s = viewer_timeout_s
        self._connections: dict[str, _Connection] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __contains__(self, name: str) -> bool:
        return name in self._connections

    def is_restart(self, name: str, fragment: str) -> bool:
        """Tell whether an SDP fragment would restart the ICE of a connection."""
        return not ice_users(fragment) <= self._connections[name].ice_users

    async def open(self, offer: str, viewer: str, *, dedicated: bool) -> tuple[str, str]:
        """Answer an offer.

        Args:
            offer: SDP, with all of its candidates or none.
            viewer: IP address that it came from.
            dedicated: True if the viewer chose this stream.

        Returns:
            The new connection's name, unguessable, and the SDP answer with all candidates.

        Raises:
            InvalidOffer: it is malformed, or asks for anything but one video.
            NoCommonCodec: the viewer can't decode the stream.
            TooManyViewers: ``MAX_VIEWERS`` are connected already.
        """
        sanitized = sanitize_offer(offer, viewer)
        if len(self._connections) >= MAX_VIEWERS:
            raise TooManyViewers
        name = secrets.token_urlsafe(16)
        connection = _Connection(
            self._hub, dedicated, self._viewer_timeout_s, lambda: self._forget(name)
        )
        self._connections[name] = connection
        try:
            answer = await connection.answer(sanitized)
        except BaseException:
            await self.close(name)
            raise
        return name, complete_answer(answer, offer)

    async def wait_until_live(self, *, dedicated: bool, timeout_s: float) -> None:
        """Be a viewer until the stream is live, at most for ``timeout_s`` seconds."""
        with contextlib.suppress(TimeoutError), self._hub.join(dedicated) as viewer:
            async with asyncio.timeout(timeout_s):
                async for item in viewer:
                    if isinstance(item, StateMessage) and item.state is StreamState.LIVE:
                        return

    async def close(self, name: str) -> bool:
        """End a connection; return False if there is none of this name."""
        connection = self._connections.pop(name, None)
        if connection is None:
            return False
        await connection.close()
        return True

    async def close_all(self) -> None:
        """End every connection."""
        await asyncio.gather(*(self.close(name) for name in list(self._connections)))

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """End every connection when the server stops."""
        try:
            yield
        finally:
            await self.close_all()

    def _forget(self, name: str) -> None:
        self._connections.pop(name, None)


class _Connection:
    """One viewer's connection, and the task that ends it."""

    def __init__(
        self, hub: Fanout, dedicated: bool, viewer_timeout_s: float, on_end: Callable[[], None]
    ) -> None:
        self.ice_users: frozenset[str] = frozenset()
        self._on_end = on_end
        self._viewer_timeout_s = viewer_timeout_s
        self._hub = hub
        self._track = LiveTrack(hub, dedicated)
        # No STUN servers: candidates are this machine's own addresses, and no one outside is asked.
        self._peer = _Peer(RTCConfiguration(iceServers=[]))
        self._opened_at = time.monotonic()
        self._connected_at: float | None = None
        self._monitoring: asyncio.Task[None] | None = None

    async def answer(self, offer: str) -> str:
        self.ice_users = ice_users(offer)
        peer = self._peer
        transceiver = peer.addTransceiver(self._track, direction="sendonly")
        prefer_h264(transceiver, self._hub)
        try:
            await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for other in peer.getTransceivers():
                if other is not transceiver:
                    other.direction = "inactive"
            answer = await peer.createAnswer()
            await peer.setLocalDescription(answer)
        except OperationError:
            raise NoCommonCodec from None
        except PARSER_ERRORS as error:
            reason = str(error) or type(error).__name__
            raise InvalidOffer(f"the offer can't be used: {reason[:200]}") from None
        self._monitoring = asyncio.create_task(self._monitor(transceiver.sender))
        return str(peer.localDescription.sdp)

    async def close(self) -> None:
        if self._monitoring is not None:
            self._monitoring.cancel()
            await asyncio.wait([self._monitoring])
        await self._end()

    async def _end(self) -> None:
        self._track.stop()
        # aiortc can't close a connection whose offer it rejected; it holds no socket yet.
        with contextlib.suppress(AttributeError):
            await self._peer.close()

    async def _monitor(self, sender: RTCRtpSender) -> None:
        """End the connection once there is a reason to."""
        while (reason := await self._end_reason(sender)) is None:
            await asyncio.wait([self._track.ended], timeout=POLL_S)
        log.info("WebRTC connection ended: %s", reason)
        self._on_end()
        await self._end()

    async def _end_reason(self, sender: RTCRtpSender) -> str | None:
        if self._track.ended.done():
            return "the stream ended"
        state = self._peer.connectionState
        if state == "failed":
            return "it failed"
        if state == "closed":
            return "the viewer closed it"
        now = time.monotonic()
        if state != "connected":
            expired = now - self._opened_at >= CONNECT_TIMEOUT_S
            return f"not connected within {CONNECT_TIMEOUT_S:.0f} s" if expired else None
        self._connected_at = self._connected_at or now
        silence = min(now - self._connected_at, await _seconds_since_report(sender))
        if silence < self._viewer_timeout_s:
            return None
        return f"no report from the viewer for {silence:.0f} s"


class _Peer(RTCPeerConnection):
    """A peer that may be closed while it connects.

    aiortc connects in a task that nobody awaits and that doesn't expect to meet a closed transport:
    asyncio would log it as an exception that was never retrieved.
    """

    async def _RTCPeerConnection__connect(self) -> None:
        try:
            await super()._RTCPeerConnection__connect()  # type: ignore[misc]
        except InvalidStateError:
            if self.signalingState != "closed":
                raise


def prefer_h264(transceiver: RTCRtpTransceiver, hub: Fanout) -> None:
    """Let a transceiver send H.264 as it comes from a hub, which is told of lost frames."""
    transceiver.setCodecPreferences(
        [
            codec
            for codec in RTCRtpSender.getCapabilities("video").codecs
            if codec.mimeType in ("video/H264", "video/rtx")
        ]
    )
    # aiortc passes keyframe requests (PLI, FIR) to its own encoders only.
    setattr(transceiver.sender, "_send_keyframe", hub.request_keyframe)  # noqa: B010


async def _seconds_since_report(sender: RTCRtpSender) -> float:
    """Return the age of the receiver's last report; infinite before the first."""
    reports = (await sender.getStats()).values()
    received = [report.timestamp for report in reports if report.type == "remote-inbound-rtp"]
    if not received:
        return float("inf")
    last: datetime = max(received)
    return (datetime.now(UTC) - last).total_seconds()


class LiveTrack(MediaStreamTrack):
    """A hub's frames as packets; joins the hub when the first is requested.

    Args:
        hub: of the stream.
        dedicated: True if its viewer chose this stream.

    Attributes:
        ended: done once there are no more frames.
    """

    kind = "video"

    def __init__(self, hub: Fanout, dedicated: bool) -> None:
        super().__init__()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hub = hub
        self._dedicated = dedicated
        self._viewer: Viewer | None = None

    async def recv(self) -> "Packet[Any]":
        """Return the next access unit; the clock is RTP's for H.264 (RFC 6184, 8.2.1).

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
                packet.pts = round(item.unit.captured_at * TIMESCALE)
                packet.time_base = Fraction(1, TIMESCALE)
                return packet
            if isinstance(item, StateMessage) and item.state is not StreamState.LIVE:
                break
        self.stop()
        raise MediaStreamError

    def stop(self) -> None:
        """Leave the hub; may be repeated."""
        super().stop()
        if self._viewer is not None:
            self._viewer.close()
        if not self.ended.done():
            self.ended.set_result(None)
