"""The slots of one scarce encoder, shared by every process of this user.

Taking a slot is one critical section under the pool's own lock: *leased + sessions of other
programs + 1 ≤ limit*. Two processes can't both see the last free slot.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metabonk.encoding.sessions.lease import Holder, Lease, claim, read_holder, try_lock
from metabonk.errors import EncodingError, StartError
from metabonk.settings.runtime_dir import private_folder

LOCK_TIMEOUT_S = 5.0

ForeignSessions = Callable[[Sequence[Holder]], int]
"""From the holders of a pool to the number of sessions that other programs have open."""


class SlotFolderError(EncodingError):
    """The folder of the slots can't be used, so nobody can know who holds a session."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a lease was not given: expected, and data.

    Attributes:
        pool: name of the pool.
        used: leases and other programs' sessions together.
        limit: how many there may be.
        holders: who holds the leases.
        foreign: how many of ``used`` are other programs'.
    """

    pool: str
    used: int
    limit: int
    holders: tuple[Holder, ...]
    foreign: int

    @property
    def reason(self) -> str:
        """A sentence for people."""
        if self.limit == 0:
            return f"the {self.pool} pool has no sessions on this machine"
        held = "; ".join(str(holder) for holder in self.holders) or "no worker"
        others = f"; {self.foreign} by other programs" if self.foreign else ""
        return (
            f"all {self.limit} {self.pool} encoder sessions are in use ({self.used} of "
            f"{self.limit}): {held}{others}"
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """A pool at one moment."""

    pool: str
    limit: int
    holders: tuple[Holder, ...]
    foreign: int

    @property
    def used(self) -> int:
        """Leases and other programs' sessions together."""
        return len(self.holders) + self.foreign


class Pool:
    """One scarce encoder: ``cpu``, or ``nvenc`` of a GPU.

    Args:
        name: also the name of its folder.
        folder: the slot directory.
        limit: how many sessions there may be; asked anew at each taking, since it is learned.
        foreign: counts sessions of other programs.
        learn: told of a limit that the driver taught.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        limit: Callable[[], int],
        foreign: ForeignSessions = lambda holders: 0,
        learn: Callable[[int], None] = lambda limit: None,
    ) -> None:
        self.name = name
        self._folder = folder / name
        self._limit = limit
        self._foreign = foreign
        self._learn = learn

    def take(
        self, *, worker: str, purpose: str, backend: str = "", gpu: int | None = None
    ) -> Lease | Refusal:
        """A lease, or the reason why there is none.

        Args:
            worker: who asks.
            purpose: ``stream`` or ``proof``.
            backend: of the encoder that is to be opened.
            gpu: index of the GPU that it encodes on.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        with self.critical_section():
            limit = self._limit()
            holders, free = self._scan()
            try:
                foreign = self._foreign(holders)
                used = len(holders) + foreign
                if used + 1 > limit:
                    return Refusal(self.name, used, limit, tuple(holders), foreign)
                slot, descriptor = free.popitem() if free else self._new_slot()
                holder = Holder(slot=slot, worker=worker, purpose=purpose, backend=backend, gpu=gpu)
                return claim(descriptor, self.name, holder)
            finally:
                for descriptor in free.values():
                    os.close(descriptor)

    def refused_by_driver(self, lease: Lease) -> int | None:
        """Gives ``lease`` back after the driver refused to open its session, and learns the limit.

        Every other lease may be in the middle of opening, so all of them count: the limit learned
        is never too low, and one that is still too high is lowered by the next refusal.

        Returns:
            the new limit, or None where nothing follows: no other session is known, so the refusal
            had another cause than their number.

        Raises:
            SlotFolderError: the slot directory can't be used; the lease is given back all the same.
        """
        with lease, self.critical_section():
            lease.release()
            holders, free = self._scan()
            for descriptor in free.values():
                os.close(descriptor)
            opened = len(holders) + self._foreign(holders)
            if opened == 0 or opened >= self._limit():
                return None
            self._learn(opened)
            return opened

    def usage(self) -> Usage:
        """Who holds what now.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        with self.critical_section():
            holders, free = self._scan()
            for descriptor in free.values():
                os.close(descriptor)
            return Usage(self.name, self._limit(), tuple(holders), self._foreign(holders))

    def remains(self, *, forget: bool = False) -> list[Holder]:
        """Who died with a lease in hand: their slots are free, and still tell of them.

        Args:
            forget: whether to wipe the slots clean.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        dead: list[Holder] = []
        with self.critical_section():
            for slot in self._slots():
                file = self._slot_file(slot)
                descriptor = try_lock(file)
                if descriptor is not None:
                    if file.stat().st_size:
                        dead.append(read_holder(file, slot))
                        if forget:
                            os.ftruncate(descriptor, 0)
                    os.close(descriptor)
        return dead

    def _scan(self) -> tuple[list[Holder], dict[int, int]]:
        """The holders of the slots that are taken, and the lowest free slot with its descriptor."""
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
                f"{self._slot_file(slot)} is locked by something else than a lease"
            )
        return slot, descriptor

    def _slots(self) -> list[int]:
        stems = (file.stem.removeprefix("slot-") for file in self._folder.glob("slot-*.lock"))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def _slot_file(self, slot: int) -> Path:
        return self._folder / f"slot-{slot}.lock"

    @contextlib.contextmanager
    def critical_section(self) -> Iterator[None]:
        """Keeps every other process from taking, counting and learning meanwhile.

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
                "Set METABONK_NVENC_SLOT_DIR to a folder on a local disk that you can write to"
            ) from None


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds the lock of a critical section.

    The wait is bounded: a process that was stopped or hangs in the driver while it is inside must
    not stop every other one as well.

    Raises:
        SlotFolderError: somebody stays inside for longer than ``LOCK_TIMEOUT_S``.
        OSError: the file can't be made, or its filesystem has no locks.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    pause = 0.0002
    while (descriptor := try_lock(file)) is None:
        if time.monotonic() > deadline:
            raise SlotFolderError(
                f"{file} has been locked for {LOCK_TIMEOUT_S:.0f} s by a process that does not "
                f"go on; 'lsof {file}' shows which"
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.01)
    try:
        yield
    finally:
        os.close(descriptor)
