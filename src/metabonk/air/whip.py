"""The program over WebRTC to a WHIP endpoint (RFC 9725); video only.

FFmpeg's own WHIP needs DTLS, which PyAV's build lacks; aiortc passes the access units on as they
are, as it does for viewers.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from av.packet import Packet

from metabonk.air.target import Target
from metabonk.streaming.fanout import Fanout
from metabonk.streaming.relay import Relays, StreamAddress, StreamUnreachable
from metabonk.streaming.webrtc import LiveTrack, prefer_h264

SDP = "application/sdp"
TIMEOUT_S = 10.0
POLL_S = 0.5


class WhipError(Exception):
    """The endpoint takes nothing; says why."""


async def transmit(
    program: str,
    target: Target,
    stopped: threading.Event,
    *,
    on_frame: Callable[[], None],
    on_turn: Callable[[], None],
) -> None:
    """Send the program over one connection, until it is stopped.

    Args:
        program: address of its WebSocket.
        target: the endpoint.
        stopped: ends it.
        on_frame: called with each frame.
        on_turn: called again and again while all is well.

    Raises:
        WhipError: the endpoint refused or is lost, or there is nothing to send.
    """
    relays = Relays()
    try:
        async with relays.join(StreamAddress(program)) as relay:
            await _Connection(relay.fanout, target, on_frame).run(stopped, on_turn)
    except StreamUnreachable as error:
        raise WhipError(f"the program does not come: {error}") from None
    finally:
        await relays.close()


class _Connection:
    def __init__(self, fanout: Fanout, target: Target, on_frame: Callable[[], None]) -> None:
        self._endpoint = target.address
        self._headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
        self._track = _CountedTrack(fanout, on_frame)
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        sender = self._peer.addTransceiver(self._track, direction="sendonly")
        prefer_h264(sender, fanout)

    async def run(self, stopped: threading.Event, on_turn: Callable[[], None]) -> None:
        resource: str | None = None
        async with httpx.AsyncClient(timeout=TIMEOUT_S, headers=self._headers) as client:
            try:
                resource = await self._connect(client)
                await self._wait_for("connected", stopped, on_turn)
                while not stopped.is_set() and self._peer.connectionState == "connected":
                    if self._track.ended.done():
                        raise WhipError("the program broke off")
                    on_turn()
                    await asyncio.sleep(POLL_S)
                if not stopped.is_set():
                    raise WhipError("the connection to the server broke")
            except httpx.HTTPError as error:
                raise WhipError(f"the server does not answer: {error}") from None
            finally:
                self._track.stop()
                await self._peer.close()
                if resource is not None:
                    await _leave(client, resource)

    async def _connect(self, client: httpx.AsyncClient) -> str | None:
        """Offer the program; return the address of the connection, if the server gave one."""
        peer = self._peer
        await peer.setLocalDescription(await peer.createOffer())
        response = await client.post(
            self._endpoint, content=peer.localDescription.sdp, headers={"Content-Type": SDP}
        )
        if response.status_code != 201:
            raise WhipError(f"the server answers {response.status_code}: {response.text[:200]}")
        try:
            await peer.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        except (ValueError, InvalidAccessError, InvalidStateError, OperationError) as error:
            raise WhipError(f"the server's answer can't be used: {error}") from None
        location = response.headers.get("location")
        return urljoin(self._endpoint, location) if location else None

    async def _wait_for(
        self, state: str, stopped: threading.Event, on_turn: Callable[[], None]
    ) -> None:
        deadline = asyncio.get_running_loop().time() + TIMEOUT_S
        while self._peer.connectionState != state and not stopped.is_set():
            if asyncio.get_running_loop().time() >= deadline:
                raise WhipError("no connection for video can be made: it needs UDP to the server")
            on_turn()
            await asyncio.sleep(POLL_S / 10)


class _CountedTrack(LiveTrack):
    def __init__(self, fanout: Fanout, on_frame: Callable[[], None]) -> None:
        super().__init__(fanout, dedicated=False)
        self._on_frame = on_frame

    async def recv(self) -> "Packet[Any]":
        packet = await super().recv()
        self._on_frame()
        return packet


async def _leave(client: httpx.AsyncClient, resource: str) -> None:
    try:
        await client.delete(resource)
    except httpx.HTTPError:
        return  # It notices by itself.
