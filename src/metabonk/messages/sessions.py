"""Messages to the page about encoder sessions, as pydantic models."""

from typing import Literal

from pydantic import Field

from metabonk.messages.base import Message, Text


class SlotHolder(Message):
    """Holder of an encoder session."""

    slot: int | None = Field(description="null for another program")
    instance_id: Text | None = Field(description="null for another program")
    pid: int | None
    gpu_index: int | None = Field(None, description="GPU that encodes; null for software")
    ours: bool


class PoolStatus(Message):
    """Sessions of one pool."""

    pool: Literal["nvenc", "cpu"]
    node: Text | None = Field(None, description="machine; null: that of the page")
    gpu_index: int | None
    gpu_name: str | None
    gpu_indices: list[int] = Field(
        default_factory=list, description="GPUs in this pool: some share a session limit"
    )
    used: int = Field(description="open sessions, those of other programs included")
    limit: int
    holders: list[SlotHolder]
    note: Text | None = Field(
        None, description="why the count may be off, as while a process keeps the pool's lock"
    )
