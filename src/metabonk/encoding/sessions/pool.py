"""Slots of one kind of encoder, shared by every process of this user.

Taking a slot is one critical section under the pool's lock: *leases + sessions of other programs
+ 1 ≤ limit*. Two processes can't both take the last free slot.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from metabonk.encoding.sessions.lease import Holder, Lease, claim
from metabonk.encoding.sessions.slots import (
    LOCK_TIMEOUT_S,
    LOOK_TIMEOUT_S,
    SlotFolder,
    SlotsLocked,
)

ExternalSessions: TypeAlias = Callable[[Sequence[Holder]], int]
"""Given the holders of a pool, counts the sessions that other programs have open."""


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
    """Snapshot of a pool.

    Attributes:
        pool: its name.
        limit: sessions allowed.
        holders: holders of the leases.
        external: sessions of other programs.
        note: why the count may be off by one, and why nobody gets a lease now; None if neither.
    """

    pool: str
    limit: int
    holders: tuple[Holder, ...]
    external: int
    note: str | None = None

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
        locate: returns the slot directory to use now, where ``folder`` may be removed.
        places: every directory that ``locate`` may return.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        limit: Callable[[], int],
        external: ExternalSessions = lambda holders: 0,
        learn: Callable[[int], None] = lambda limit: None,
        locate: Callable[[], Path] | None = None,
        places: Sequence[Path] = (),
    ) -> None:
        self.name = name
        self._folder = SlotFolder(name, locate or (lambda: folder), (folder, *places))
        self._limit = limit
        self._external = external
        self._learn = learn
        self._leases: list[Lease] = []

    def take(
        self,
        *,
        worker: str,
        purpose: str,
        backend: str = "",
        gpu: int | None = None,
        timeout_s: float = LOCK_TIMEOUT_S,
    ) -> Lease | Refusal:
        """Take a lease, or return the reason why there is none.

        Args:
            worker: name of the holder.
            purpose: ``stream`` or ``probe``.
            backend: backend of the encoder to be opened.
            gpu: NVML index of the GPU that will encode.
            timeout_s: wait for the pool's lock, seconds.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        with self._folder.locked(timeout_s) as slots:
            limit = self._limit()
            holders, free = slots.scan()
            try:
                external = self._external(holders)
                used = len(holders) + external
                if used + 1 > limit:
                    return Refusal(self.name, used, limit, tuple(holders), external)
                slot, descriptor = free.popitem() if free else slots.new_slot()
                holder = Holder(slot=slot, worker=worker, purpose=purpose, backend=backend, gpu=gpu)
                lease = claim(descriptor, self.name, holder)
            finally:
                _close_all(free)
            self._leases = [*(each for each in self._leases if each.held), lease]
            return lease

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
        with lease, self._folder.locked(LOCK_TIMEOUT_S) as slots:
            lease.release()
            holders, free = slots.scan()
            _close_all(free)
            opened = len(holders) + self._external(holders)
            if opened == 0 or opened >= self._limit():
                return None
            self._learn(opened)
            return opened

    def usage(self) -> Usage:
        """Return the current holders and counts, also while a process keeps the pool's lock.

        An encoder that is being opened counts as open: the driver lists its session a moment before
        its lease says so, and whoever took that for another program's would give up a session.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        try:
            with self._folder.locked(LOOK_TIMEOUT_S) as slots:
                holders, free = slots.scan()
                _close_all(free)
                external = self._external(_as_open(holders))
                return Usage(self.name, self._limit(), tuple(holders), external)
        except SlotsLocked as error:
            with self._folder.unlocked() as slots:
                holders = slots.look()
            external = self._external(_as_open(holders))
            return Usage(self.name, self._limit(), tuple(holders), external, str(error))

    def written_holders(self) -> list[Holder]:
        """Return the holders named in slots, dead or alive; never waits.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        with self._folder.unlocked() as slots:
            return slots.written()

    def stale_holders(self, *, clear: bool = False) -> list[Holder]:
        """Return the holders that died with a lease: their slots are free but still name them.

        Args:
            clear: erase them from their slots.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        with self._folder.locked(LOCK_TIMEOUT_S) as slots:
            return slots.stale(clear=clear)

    def restore_leases(self) -> list[Lease]:
        """Make the slots of this process's leases anew where they were removed; return those.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        return self._folder.restore(self._leases)


def _as_open(holders: Sequence[Holder]) -> list[Holder]:
    return [holder.model_copy(update={"session_open": True}) for holder in holders]


def _close_all(slots: dict[int, int]) -> None:
    for descriptor in slots.values():
        os.close(descriptor)
