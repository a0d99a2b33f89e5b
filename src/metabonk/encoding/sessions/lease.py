"""Lease on one slot of a pool: a file that its holder keeps locked.

The lock is the truth; the text in the file is for people and tools. The kernel drops a ``flock``
when its process ends, however it ends, so a slot can't leak. Slot files are never deleted: a file
unlinked while another process opens it would become two slots with one name.
"""

import json
import os
import time
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ValidationError

MAX_HOLDER_BYTES = 4096


class Holder(BaseModel):
    """Holder of a slot, as written in its file."""

    slot: int
    pid: int | None = None
    process_started: float | None = None
    """Unix time; distinguishes the process from a later one with the same pid."""
    worker: str = "unknown"
    purpose: str = "unknown"
    backend: str = ""
    """Backend of the encoder the lease is for."""
    gpu: int | None = None
    """NVML index of the GPU that encodes."""
    since: float | None = None
    """Unix time of the lease, seconds."""
    session_open: bool = False
    """True once the encoder is open: only then can the driver count it."""

    def __str__(self) -> str:
        pid = f"pid {self.pid}" if self.pid else "pid unknown"
        what = f"{self.purpose} {self.backend}".rstrip()
        return f"slot {self.slot}: {self.worker} ({pid}, {what})"


class Lease:
    """The right to have one encoder session open, until ``release`` or the process's end."""

    def __init__(self, descriptor: int, pool: str, holder: Holder) -> None:
        self._descriptor: int | None = descriptor
        self.pool = pool
        self.holder = holder

    @property
    def slot(self) -> int:
        """Slot number, from 0."""
        return self.holder.slot

    @property
    def held(self) -> bool:
        """True until the lease is released."""
        return self._descriptor is not None

    def mark_opened(self) -> None:
        """Record that the driver now counts this session."""
        self._write(session_open=True)

    def mark_closed(self) -> None:
        """Record that the driver no longer counts it; the lease stays, for the next session."""
        self._write(session_open=False)

    def release(self) -> None:
        """Give the slot back; a second call does nothing."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def _write(self, *, session_open: bool) -> None:
        self.holder = self.holder.model_copy(update={"session_open": session_open})
        if self._descriptor is not None:
            _write_holder(self._descriptor, self.holder)


def claim(descriptor: int, pool: str, holder: Holder) -> Lease:
    """Make a lease for this process out of a locked slot file.

    Args:
        descriptor: of the slot file.
        pool: its name.
        holder: purpose of the lease; this process and the time are added here.

    Raises:
        OSError: the holder can't be written, for instance to a full disk. The lock is dropped.
    """
    process = {"pid": os.getpid(), "process_started": psutil.Process().create_time()}
    holder = holder.model_copy(update={**process, "since": time.time()})
    try:
        _write_holder(descriptor, holder)
    except OSError:
        os.close(descriptor)
        raise
    return Lease(descriptor, pool, holder)


def read_holder(file: Path, slot: int) -> Holder:
    """Return the holder written in a slot file; an unknown holder if it can't be parsed."""
    try:
        return Holder.model_validate_json(file.read_bytes()[:MAX_HOLDER_BYTES])
    except (ValidationError, OSError):
        return Holder(slot=slot)


def _write_holder(descriptor: int, holder: Holder) -> None:
    text = json.dumps(holder.model_dump()).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)
