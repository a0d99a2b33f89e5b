"""One slot of a pool: a file that its holder keeps locked.

The lock is the truth and the text in the file is for people and tools: the kernel drops a ``flock``
with its process, however that ends, so a slot can't be lost. Slot files are never deleted, since a
file that is unlinked while another process opens it would be two slots of one name.
"""

import fcntl
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from pydantic import BaseModel, ValidationError


class Holder(BaseModel):
    """Who holds a slot, as written in its file."""

    slot: int
    pid: int | None = None
    process_started: float | None = None
    """Unix time; tells a process from a later one of the same pid."""
    worker: str = "unknown"
    purpose: str = "unknown"
    backend: str = ""
    """Of the encoder that the lease is for."""
    gpu: int | None = None
    """Index of the GPU that it encodes on."""
    since: float | None = None
    """Unix time of the lease, seconds."""
    session_open: bool = False
    """Whether the encoder has been opened: only then can the driver count it."""

    def __str__(self) -> str:
        pid = f"pid {self.pid}" if self.pid else "pid unknown"
        what = f"{self.purpose} {self.backend}".rstrip()
        return f"slot {self.slot}: {self.worker} ({pid}, {what})"


class Lease:
    """The right to have one encoder session open. Held until ``release`` or the process's end."""

    def __init__(self, descriptor: int, pool: str, holder: Holder) -> None:
        self._descriptor: int | None = descriptor
        self.pool = pool
        self.holder = holder

    @property
    def slot(self) -> int:
        """Number of the slot, from 0."""
        return self.holder.slot

    @property
    def held(self) -> bool:
        """Whether it has not been released yet."""
        return self._descriptor is not None

    def session_opened(self) -> None:
        """Notes that the driver now counts this session."""
        self._note(session_open=True)

    def session_closed(self) -> None:
        """Notes that the driver counts it no longer; another one is opened under this lease."""
        self._note(session_open=False)

    def _note(self, *, session_open: bool) -> None:
        self.holder = self.holder.model_copy(update={"session_open": session_open})
        if self._descriptor is not None:
            _write(self._descriptor, self.holder)

    def release(self) -> None:
        """Gives the slot back; a second call does nothing."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def try_lock(file: Path) -> int | None:
    """Opens and locks ``file``: its descriptor, or None while another process holds it.

    Raises:
        OSError: the file can't be made, or its filesystem has no locks.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def claim(descriptor: int, pool: str, holder: Holder) -> Lease:
    """Makes a lease of a locked slot file, for this process.

    Args:
        descriptor: of the slot file.
        pool: its name.
        holder: says what for; process and time are added here.

    Raises:
        OSError: the holder can't be written, for instance to a full disk. The lock is dropped.
    """
    process = {"pid": os.getpid(), "process_started": psutil.Process().create_time()}
    holder = holder.model_copy(update={**process, "since": time.time()})
    try:
        _write(descriptor, holder)
    except OSError:
        os.close(descriptor)
        raise
    return Lease(descriptor, pool, holder)


def read_holder(file: Path, slot: int) -> Holder:
    """What is written in a slot's file; rubbish reads as an unknown holder."""
    try:
        return Holder.model_validate_json(file.read_bytes()[:4096])
    except (ValidationError, OSError):
        return Holder(slot=slot)


def _write(descriptor: int, holder: Holder) -> None:
    text = json.dumps(holder.model_dump()).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)
