"""Slots of one kind of encoder, shared by every process of this user.

Taking a slot is one critical section under the pool's lock: *leases + sessions of other programs
+ 1 ≤ limit*. Two processes can't both take the last free slot.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from metabonk.encoding.sessions.lease import Holder, Lease, claim, read_holder
from metabonk.errors import EncodingError, StartError
from metabonk.settings.runtime_dir import private_folder
from metabonk.system.file_lock import lock, try_lock

LOCK_TIMEOUT_S = 5.0

ExternalSessions: TypeAlias = Callable[[Sequence[Holder]], int]
"""Given the holders of a pool, counts the sessions that other programs have open."""


class SlotFolderError(EncodingError):
    """The slot directory can't be used, so nobody can know who holds a session."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason why no lease was given. An expected outcome, not an error.

    Attributes:
        pool: name of the pool.
        used: leases and other programs' sessions together.
        limit: sessions allowed.
        holders: holders of the leases.
        external: sessions of other programs, included in ``used``.
    """

    pool: str
    used: int
    limit: int
    holders: tuple[Holder, ...]
    external: int

    @property
    def reason(self) -> str:
        """Human-readable reason with the numbers and holders."""
        if self.limit == 0:
            return f"the {self.pool} pool has no sessions on this machine"
        held = "; ".join(str(holder) for holder in self.holders) or "no worker"
        others = f"; {self.external} by other programs" if self.external else ""
        return (
            f"all {self.limit} {self.pool} encoder sessions are in use ({self.used} of "
            f"{self.limit}): {held}{others}"
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Snapshot of a pool."""

    pool: str
    limit: int
    holders: tuple[Holder, ...]
    external: int

    @property
    def used(self) -> int:
        """Leases and other programs' sessions together."""
        return len(self.holders) + self.external


class Pool:
    """Sessions of one kind of encoder: ``cpu``, ``va``, or ``nvenc`` of one or several GPUs.

    Args:
        name: also the name of its folder.
        folder: the slot directory.
        limit: sessions allowed; called for each lease, because the limit is learned.
        external: counts sessions of other programs.
        learn: receives a limit learned from a refusal by the driver.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        limit: Callable[[], int],
        external: ExternalSessions = lambda holders: 0,
        learn: Callable[[int], None] = lambda limit: None,
    ) -> None:
        self.name = name
        self._folder = folder / name
        self._limit = limit
        self._external = external
        self._learn = learn

    def take(
        self, *, worker: str, purpose: str, backend: str = "", gpu: int | None = None
    ) -> Lease | Refusal:
        """Take a lease, or return the reason why there is none.

        Args:
            worker: name of the holder.
            purpose: ``stream`` or ``probe``.
            backend: backend of the encoder to be opened.
            gpu: NVML index of the GPU that will encode.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        with self.critical_section():
            limit = self._limit()
            holders, free = self._scan()
            try:
                external = self._external(holders)
                used = len(holders) + external
                if used + 1 > limit:
                    return Refusal(self.name, used, limit, tuple(holders), external)
                slot, descriptor = free.popitem() if free else self._new_slot()
                holder = Holder(slot=slot, worker=worker, purpose=purpose, backend=backend, gpu=gpu)
                return claim(descriptor, self.name, holder)
            finally:
                _close_all(free)

    def refused_by_driver(self, lease: Lease) -> int | None:
        """Release a lease whose session the driver refused to open, and learn the limit.

        Every other lease may be opening its session right now, so all of them count: the learned
        limit is never too low, and the next refusal lowers one that is still too high.

        Returns:
            The new limit; None if no other session is known, so that the refusal must have another
            cause than their number.

        Raises:
            SlotFolderError: the slot directory can't be used; the lease is released all the same.
        """
        with lease, self.critical_section():
            lease.release()
            holders, free = self._scan()
            _close_all(free)
            opened = len(holders) + self._external(holders)
            if opened == 0 or opened >= self._limit():
                return None
            self._learn(opened)
            return opened

    def usage(self) -> Usage:
        """Return the current holders and counts.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        with self.critical_section():
            holders, free = self._scan()
            _close_all(free)
            return Usage(self.name, self._limit(), tuple(holders), self._external(holders))

    def stale_holders(self, *, clear: bool = False) -> list[Holder]:
        """Return the holders that died with a lease: their slots are free but still name them.

        Args:
            clear: erase them from their slots.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        stale: list[Holder] = []
        with self.critical_section():
            for slot in self._slots():
                file = self._slot_file(slot)
                descriptor = try_lock(file)
                if descriptor is not None:
                    if file.stat().st_size:
                        stale.append(read_holder(file, slot))
                        if clear:
                            os.ftruncate(descriptor, 0)
                    os.close(descriptor)
        return stale

    @contextlib.contextmanager
    def critical_section(self) -> Iterator[None]:
        """Exclude every other process from leasing, counting and learning.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        try:
            private_folder(self._folder, setting="METABONK_NVENC_SLOT_DIR")
            with locked(self._folder / "pool.lock"):
                yield
        except StartError as error:
            raise SlotFolderError(str(error)) from None
        except OSError as error:
            raise SlotFolderError(
                f"encoder sessions can't be leased in {self._folder}: {error.strerror}. "
                "Set METABONK_NVENC_SLOT_DIR to a writable folder on a local disk"
            ) from None

    def _scan(self) -> tuple[list[Holder], dict[int, int]]:
        """Return the current holders, and the lowest free slot with its locked descriptor."""
        holders: list[Holder] = []
        free: dict[int, int] = {}
        for slot in self._slots():
            file = self._slot_file(slot)
            descriptor = try_lock(file)
            if descriptor is None:
                holders.append(read_holder(file, slot))
            elif not free:
                free[slot] = descriptor
            else:
                os.close(descriptor)
        return holders, free

    def _new_slot(self) -> tuple[int, int]:
        slot = max(self._slots(), default=-1) + 1
        descriptor = try_lock(self._slot_file(slot))
        if descriptor is None:
            raise SlotFolderError(
                f"{self._slot_file(slot)} is locked by something other than a lease"
            )
        return slot, descriptor

    def _slots(self) -> list[int]:
        stems = (file.stem.removeprefix("slot-") for file in self._folder.glob("slot-*.lock"))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def _slot_file(self, slot: int) -> Path:
        return self._folder / f"slot-{slot}.lock"


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a file's lock for the duration of the block.

    The wait is bounded, so that one process stopped or hung in the driver can't stop all others.

    Raises:
        SlotFolderError: another process has held it for ``LOCK_TIMEOUT_S``.
        OSError: the file can't be made, or its filesystem has no locks.
    """
    descriptor = lock(file, LOCK_TIMEOUT_S)
    if descriptor is None:
        raise SlotFolderError(
            f"{file} has been locked for {LOCK_TIMEOUT_S:.0f} s by a process that appears stuck; "
            f"'lsof {file}' shows which"
        )
    try:
        yield
    finally:
        os.close(descriptor)


def _close_all(slots: dict[int, int]) -> None:
    for descriptor in slots.values():
        os.close(descriptor)
