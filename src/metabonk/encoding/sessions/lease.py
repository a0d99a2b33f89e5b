"""Lease on one slot of a pool: a file that its holder keeps locked.

The lock is the truth; the text in the file is for people and tools. The kernel drops a ``flock``
when its process ends, however it ends, so a slot can't leak. Slot files are never deleted: a file
unlinked while another process opens it would become two slots with one name.
"""

import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ValidationError

from metabonk.system.file_lock import is_same_file

log = logging.getLogger(__name__)

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
    """The right to have one encoder session open, until ``release`` or the process's end.

    Thread-safe: one thread encodes, another sees that the slot stays.
    """

    def __init__(self, descriptor: int, pool: str, holder: Holder) -> None:
        self._descriptor: int | None = descriptor
        self._guard = threading.Lock()
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

    def holds(self, file: Path) -> bool:
        """Tell whether the lease is on this file: false once the file was removed or replaced."""
        with self._guard:
            return self._descriptor is not None and is_same_file(self._descriptor, file)

    def move_to(self, slot: int, descriptor: int) -> None:
        """Continue on another slot.

        Args:
            slot: its number.
            descriptor: of its file, which is locked; closed if the lease was released meanwhile.
        """
        with self._guard:
            before, self._descriptor = self._descriptor, descriptor
            if before is None:
                self._descriptor = None
                os.close(descriptor)
                return
            os.ftruncate(before, 0)
            os.close(before)
            self.holder = self.holder.model_copy(update={"slot": slot})
            _write_holder(descriptor, self.holder)

    def release(self) -> None:
        """Give the slot back; a second call does nothing."""
        with self._guard:
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
        with self._guard:
            self.holder = self.holder.model_copy(update={"session_open": session_open})
            if self._descriptor is None:
                return
            try:
                _write_holder(self._descriptor, self.holder)
            except OSError as error:
                # The lock holds all the same; a stream must not end for a full disk.
                log.warning("%s slot %d: can't be written: %s", self.pool, self.slot, error)


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
