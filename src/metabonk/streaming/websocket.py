"""WebSocket of a stream: fragmented MP4 with states and epochs, for the page and for relays.

Text messages are those of ``stream_messages``; binary ones are the init segment that an epoch
announces, followed by its fragments. A viewer stays joined whatever the stream does, and needn't
send anything. A relay says whom it stands for.
"""

from collections.abc import Callable

from fastapi import APIRouter, WebSocket, WebSocketDisconnect, status
from pydantic import ValidationError
from starlette.types import Message

from metabonk.http.connection import TEXTS_BEFORE
from metabonk.http.disconnect import run_until_disconnect
from metabonk.messages.streams import (
    AudienceMessage,
    EpochMessage,
    PolicyMessage,
    SaliencyMessage,
    StateMessage,
)
from metabonk.streaming.fanout import Fanout
from metabonk.streaming.gop import Epoch
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.stills import StillAnswers
from metabonk.streaming.viewer import Audience, Viewer

MAX_MESSAGE_LENGTH = 1024
"""Bytes or characters; viewers have nothing to send, so this only tolerates greetings."""


def websocket_routes(
    hub: Fanout, policy: PolicyMessage, snapshot: Snapshot | None = None
) -> APIRouter:
    """Return the WebSocket route of one stream.

    Args:
        hub: of the stream.
        policy: sent to every viewer first.
        snapshot: of the stream, for relays that ask for stills; None: there are none.
    """
    router = APIRouter(tags=["stream"])
    stills = snapshot or Snapshot(lambda: None)

    @router.websocket("/stream")
    async def watch(
        socket: WebSocket,
        audience: Audience = "dedicated",
        saliency: bool = False,
        relay: bool = False,
    ) -> None:
        await socket.accept()
        if relay:
            with hub.join_for(AudienceMessage()) as viewer, StillAnswers(socket, stills) as answers:

                def accepts(text: str) -> bool:
                    return answers.take(text) or _count(hub, viewer, text)

                await serve_viewer(socket, viewer, policy, accepts)
        else:
            with hub.join(audience == "dedicated", saliency=saliency) as viewer:
                await serve_viewer(socket, viewer, policy)

    return router


def _count(hub: Fanout, relay: Viewer, text: str) -> bool:
    try:
        hub.change_audience(relay, AudienceMessage.model_validate_json(text))
    except ValidationError:
        return False
    return True


async def serve_viewer(
    socket: WebSocket,
    viewer: Viewer,
    policy: PolicyMessage,
    accepts: Callable[[str], bool] = lambda text: True,
) -> None:
    """Send a stream until it is closed or the viewer leaves.

    Args:
        socket: accepted.
        viewer: of the stream.
        policy: sent first.
        accepts: takes a text from the viewer; False ends the connection.
    """

    async def receive() -> Message:
        message = await socket.receive()
        if _too_long(message):
            return await _refuse(socket, status.WS_1009_MESSAGE_TOO_BIG)
        if (text := message.get("text")) is not None and not accepts(text):
            return await _refuse(socket, status.WS_1008_POLICY_VIOLATION)
        return message

    try:
        await socket.send_text(policy.model_dump_json())
        await run_until_disconnect(receive, _send(viewer, socket))
    except WebSocketDisconnect:
        return  # It left while something was being sent.


async def _refuse(socket: WebSocket, code: int) -> Message:
    await socket.close(code)
    return {"type": "websocket.disconnect"}


async def _send(viewer: Viewer, socket: WebSocket) -> None:
    async for item in viewer:
        if isinstance(item, StateMessage | SaliencyMessage):
            await socket.send_text(item.model_dump_json())
        elif isinstance(item, Epoch):
            announcement = EpochMessage(
                epoch=item.number,
                mime=item.parameters.mime,
                width=item.width,
                height=item.height,
                fps=item.fps,
            )
            await socket.send_text(announcement.model_dump_json())
            await socket.send_bytes(item.init)
        else:
            await socket.send(
                {"type": "websocket.send", TEXTS_BEFORE: item.thoughts, "bytes": item.data}
            )


def _too_long(message: Message) -> bool:
    content = message.get("bytes") or message.get("text") or ""
    return len(content) > MAX_MESSAGE_LENGTH
