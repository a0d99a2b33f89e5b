"""A WebRTC player (aiortc) that watches by WHEP."""

import asyncio

import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from av.video.frame import VideoFrame

from tests.support.waiting import GENEROUS_S

SDP = {"Content-Type": "application/sdp"}


class Watcher:
    """A player: one connection that asks for one video."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.receiver: RTCRtpReceiver = self.connection.addTransceiver(
            "video", direction="recvonly"
        ).receiver
        self.answer = ""
        self.location = ""

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def post(self, query: str = "") -> httpx.Response:
        return await self.client.post(f"/whep{query}", content=await self.offer(), headers=SDP)

    async def connect(self, query: str = "") -> None:
        response = await self.post(query)
        assert response.status_code == 201, response.text
        self.answer, self.location = response.text, response.headers["Location"]
        await self.connection.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))

    async def frame(self) -> VideoFrame:
        frame = await asyncio.wait_for(self.receiver.track.recv(), GENEROUS_S)
        assert isinstance(frame, VideoFrame)
        return frame
