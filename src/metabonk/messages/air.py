"""Messages about what goes on air."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from metabonk.messages.base import Count, LongText, Message, NumberOrNone, Text

StrictCount = Annotated[Count, Field(strict=True)]

AIR = "air"
"""Name of its process."""


class AirState(StrEnum):
    """Activity of the process."""

    CONNECTING = "connecting"
    ON_AIR = "on_air"
    WAITING = "waiting"
    """Pause before the next attempt."""


class AirReport(Message):
    """Report of the process to the orchestrator, once a second."""

    pid: StrictCount
    turns: StrictCount = Field(description="of its loop; one that stops turning hangs")
    state: AirState
    connections: StrictCount = Field(description="that were made since the process started")
    frames: StrictCount = Field(description="sent since the process started")
    on_air_since: NumberOrNone = Field(
        None, strict=True, description="Unix time, seconds; null while it is not"
    )
    error: LongText = Field(None, description="why it is not on air, in a sentence")


class AirStatus(Message):
    """``/api/air``: whether the program goes on air, and how that works."""

    to: Text | None = Field(description="where to, without the key; null: nothing is configured")
    wanted: bool
    report: AirReport | None = Field(description="of its process; null while there is none")


class AirSwitch(Message):
    """``PUT /api/air``: go on air, or off."""

    on: bool = Field(strict=True)
