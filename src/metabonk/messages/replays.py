"""Messages about replays of episodes, as pydantic models."""

import re
from enum import StrEnum
from typing import Literal

from pydantic import Field

from metabonk.messages.base import Count, Message, Number, Text


def parse_video_size(
    text: str, smallest: tuple[int, int], largest: tuple[int, int]
) -> tuple[int, int]:
    """Return the size of a video, width and height in pixels.

    Args:
        text: such as ``1280x720``.
        smallest: width and height that are allowed.
        largest: width and height that are allowed.

    Raises:
        ValueError: it is something else, odd, or out of bounds.
    """
    match = re.fullmatch(r"([0-9]{1,5})[x×]([0-9]{1,5})", text.lower())
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    bounds = zip(smallest, size, largest, strict=True)
    if any(side % 2 or not least <= side <= most for least, side, most in bounds):
        raise ValueError(
            "must be WIDTHxHEIGHT in even numbers of pixels from "
            f"{smallest[0]}x{smallest[1]} to {largest[0]}x{largest[1]}, not {text!r}"
        )
    return size


class ReplayState(StrEnum):
    """State of a replay's video."""

    NONE = "none"
    QUEUED = "queued"
    RENDERING = "rendering"
    WHOLE = "whole"
    DIFFERENT = "different"
    FAILED = "failed"


class ReplayStatus(Message):
    """State of the video of one episode at one size."""

    state: ReplayState = Field(
        description="none: asking for the video starts it; different: repeated, the episode did "
        "not come out as it was played, so there is no video of it"
    )
    position: int | None = Field(
        None, description="place in the queue, 1 is next; null unless queued"
    )
    message: Text | None = Field(
        None, description="what went wrong, in a sentence; null unless different or failed"
    )


class RenderOutcome(Message):
    """Final report of a renderer, to the process that started it."""

    outcome: Literal["equal", "different", "failed"]
    message: Text | None = Field(None, description="why there is no video; null if there is one")
    at_decision: int | None = Field(None, description="step of the first difference, from 0")


class ReplayTrack(Message):
    """The policy's thoughts in step with a replay's video, from the episode's log.

    The lists have one entry per step.
    """

    game: Text
    tics_per_s: float = Field(description="pace of the game and of the video")
    duration_s: float = Field(description="of the episode at that pace, and so of the video")
    actions: list[Text] = Field(
        description="names of the actions, in the order of the probabilities; empty for "
        "continuous actions"
    )
    times: list[float] = Field(description="media time of the first frame after the step, seconds")
    chosen: list[int | None] = Field(
        description="index of the chosen action; null for other action spaces"
    )
    probabilities: list[list[float]] = Field(
        description="of every action; empty for continuous actions"
    )
    values: list[float] = Field(description="expected discounted return, in the game's rewards")
    rewards: list[float] = Field(description="unshaped reward of the step")
    total_reward: float = Field(description="unshaped return of the episode")
    policy_version: Count
    no_saliency: Text | None = Field(
        None, description="why there are no saliency maps, in a sentence; null if there are"
    )


class ReplaySaliency(Message):
    """Regions that the action chosen in one step depends on, by the policy that chose it.

    ``replay.saliency`` has one a line, up to four a second of the video, in order.
    """

    time: float = Field(description="media time of the first frame after the step, seconds")
    columns: int
    rows: int
    cells: str | None = Field(
        description="base64 of columns × rows bytes, row by row; 255 is the maximum; null if the "
        "checkpoint gives other probabilities or another value than the policy gave in this step"
    )


class Highlight(Message):
    """Video of the best episode of a run that was live, as it was shown."""

    worker_index: Count
    episode: Count
    total_reward: Number = Field(description="unshaped return")
    ended_at: Number = Field(description="Unix time, seconds")
    duration: float = Field(ge=0, description="of the video, seconds")
    bytes: int = Field(ge=0, description="of the video")
    whole: bool = Field(description="false: the video lacks a part, which was not live or too long")
