"""Messages of a worker's WebSocket ``/stream`` to its viewers, as pydantic models."""

from typing import Literal

from pydantic import Field

from metabonk.messages.base import Count, Message, ShortText, Text
from metabonk.messages.workers import StreamState


class StateMessage(Message):
    """WebSocket ``/stream``, text: stream state; sent on joining and on every change."""

    type: Literal["state"] = "state"
    state: StreamState
    reason: Text = Field(description="the reason, in a sentence for the viewer")


class EpochMessage(Message):
    """WebSocket ``/stream``, text: the next binary message is a new init segment.

    Fragments (one ``moof`` and ``mdat`` each, binary) follow until the next epoch.
    """

    type: Literal["epoch"] = "epoch"
    epoch: int = Field(description="incremented each time an encoder is opened")
    mime: str = Field(description="for MediaSource.addSourceBuffer, with the codecs parameter")
    width: int
    height: int
    fps: int = Field(description="nominal frames per second")


class PolicyMessage(Message):
    """WebSocket ``/stream``, text: the policy's actions; sent once, on joining."""

    type: Literal["policy"] = "policy"
    actions: list[str] = Field(
        description="names of the actions, in the order of the probabilities"
    )


class Thought(Message):
    """Policy output for one step."""

    action: int | None = Field(
        description="index of the chosen action; null for other action spaces"
    )
    probabilities: list[float] = Field(
        description="of every action; empty for continuous actions, and where they are not known"
    )
    value: float | None = Field(
        description="expected discounted return, in the game's rewards; null where it is not known"
    )
    text: ShortText | None = Field(None, description="anything else that a trainer says")
    reward: float = Field(
        description="unshaped reward of the previous step; of a guest, of this one"
    )
    episode_return: float = Field(description="unshaped return so far")
    episode: int = Field(description="number of the episode in this worker, from 1")
    step: int = Field(description="steps in this episode so far")
    decided_at: float = Field(description="Unix time by the worker's clock, seconds")


class ThoughtMessage(Thought):
    """WebSocket ``/stream``, text: precedes the fragment that it belongs to."""

    type: Literal["thought"] = "thought"
    epoch: int
    time: float = Field(description="media time of the first frame after the step, seconds")


class SaliencyMessage(Message):
    """WebSocket ``/stream?saliency=true``, text: regions that the chosen action depends on."""

    type: Literal["saliency"] = "saliency"
    epoch: int
    time: float = Field(description="media time of the frame, seconds")
    columns: int
    rows: int
    cells: str = Field(description="base64 of columns × rows bytes, row by row; 255 is the maximum")
    cost: float = Field(description="share of a core that the maps cost the worker, 0 to 1")


class StillsRequest(Message):
    """WebSocket ``/api/worker/{instance_id}/stream``, text, from a viewer: stills it can use.

    On ``/stream?relay=true``, from a relay: asks for the newest one.
    """

    type: Literal["stills"] = "stills"
    max_width: int | None = Field(ge=16, le=3840, description="pixels; null: it needs none")


class StillMessage(Message):
    """WebSocket ``/api/worker/{instance_id}/stream``, text: newest frame of a worker without video.

    Sent once a second to viewers that have asked for stills.
    """

    type: Literal["still"] = "still"
    jpeg: str = Field(description="base64 of a JPEG; empty, to a relay only: there is none yet")


class AudienceMessage(Message):
    """WebSocket ``/stream?relay=true``, text, from a relay: the viewers that it stands for."""

    type: Literal["audience"] = "audience"
    dedicated: Count = Field(0, description="those who chose this stream, not the broadcast")
    broadcast: Count = Field(0, description="those who watch whatever is shown")
    saliency: bool = Field(False, description="some of them want saliency maps")
    keyframe: bool = Field(False, description="some of them wait for a keyframe to start with")


class ClipTrack(Message):
    """``GET /clip.json``: the policy's thoughts during ``/clip.mp4`` of the same length."""

    begins_at: float = Field(
        description="when the first frame was captured, seconds on the clock of the response "
        "header X-Clip-Begins-At of /clip.mp4; times of a clip that begins there need no shift"
    )
    duration: float = Field(description="seconds")
    actions: list[str] = Field(
        description="names of the actions, in the order of the probabilities"
    )
    thoughts: list[ThoughtMessage] = Field(
        description="in order; time is on the clip's clock, epoch is 0"
    )


class EmbedLink(Message):
    """``/api/embed``: address of a stream's tile for pages elsewhere."""

    path: str | None = Field(description="with its key; null: nobody may embed it")
    origins: list[str] = Field(description="of the pages that may")
