"""Messages about the program: one stream that follows the director."""

from pydantic import Field

from metabonk.messages.base import Message

PROGRAM = "program"
"""Its name where a stream is named, as a worker is."""


class ProgramPin(Message):
    """``/api/program/pin``: the worker that somebody chose for the program."""

    worker: str | None = Field(description="its name; null: the director chooses")


class ProgramSource(Message):
    """A worker whose stream may be shown."""

    name: str
    address: str = Field(description="of its WebSocket, ws://…, for a relay")
    live: bool = Field(description="it has video now; otherwise it is about to")


class RunningOrder(Message):
    """Sources of the program, in the order of preference."""

    sources: list[ProgramSource] = Field(description="the one that should be shown first")
    pin: str | None = Field(description="worker that somebody chose; null: the director chooses")
    hardware: bool = Field(description="some of them are encoded in hardware")
