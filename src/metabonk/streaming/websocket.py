"""WebSocket route of a worker's video: fragmented MP4 with states and epochs, for the page.

Text messages are ``messages.PolicyMessage``, ``StateMessage``, ``EpochMessage``, ``ThoughtMessage``
and ``SaliencyMessage``; binary ones are the init segment that an epoch announces, followed by its
fragments. A viewer stays joined whatever the stream does. Clients needn't send anything.
"""

from fastapi import APIRouter, WebSocket, WebSocketDisconnect, status
from starlette.types import Message

from metabonk.messages import EpochMessage, PolicyMessage, SaliencyMessage, StateMessage
from metabonk.streaming.gop import Epoch
from metabonk.streaming.http import Audience, run_until_disconnect
from metabonk.streaming.hub import Hub
from metabonk.streaming.viewer import Viewer

MAX_MESSAGE_LENGTH = 1024
"""Bytes or characters; clients have nothing to send, so this only tolerates greetings."""


def websocket_routes(hub: Hub, policy: PolicyMessage) -> APIRouter:
    """Return the WebSocket route of one stream.

    Args:
        hub: of the stream.
        policy: sent to every viewer first.
    """
    router = APIRouter(tags=["stream"])

    @router.websocket("/stream")
    async def watch(
        socket: WebSocket, audience: Audience = "dedicated", saliency: bool = False
    ) -> None:
        async def receive() -> Message:
            message = await socket.receive()
            if _too_long(message):
                await socket.close(status.WS_1009_MESSAGE_TOO_BIG)
                return {"type": "websocket.disconnect"}
            return message

        await socket.accept()
        with hub.join(audience == "dedicated", saliency=saliency) as viewer:
            try:
                await socket.send_text(policy.model_dump_json())
                await run_until_disconnect(receive, _send(viewer, socket))
            except WebSocketDisconnect:
                return  # It left while something was being sent.

    return router


async def _send(viewer: Viewer, socket: WebSocket) -> None:
    async for item in viewer:
        if isinstance(item, StateMessage | SaliencyMessage):
            await socket.send_text(item.model_dump_json())
        elif isinstance(item, Epoch):
            announcement = EpochMessage(
                epoch=item.number, mime=item.mime, width=item.width, height=item.height
            )
            await socket.send_text(announcement.model_dump_json())
            await socket.send_bytes(item.init)
        else:
            for thought in item.thoughts:
                await socket.send_text(thought)
            await socket.send_bytes(item.data)


def _too_long(message: Message) -> bool:
    content = message.get("bytes") or message.get("text") or ""
    return len(content) > MAX_MESSAGE_LENGTH
