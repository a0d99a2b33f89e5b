"""The slot files of one pool, and the lock under which they are counted.

A folder may be removed under its holders: at logout, or by an age-based cleanup of ``/tmp``. Their
locks then hold files that nobody else can open, so every holder makes its slot anew (``restore``).
Until all have, ``scan`` finds the lost ones by the descriptors that their processes keep open.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from metabonk.encoding.sessions.lease import Holder, Lease, read_holder
from metabonk.errors import EncodingError, StartError
from metabonk.system.file_lock import is_locked, lock, try_lock
from metabonk.system.private_folder import private_folder

LOCK_TIMEOUT_S = 5.0

LOOK_TIMEOUT_S = 0.2
"""Wait for the lock of whoever only looks. Counting takes milliseconds, a driver's query some tens;
a status, a live stream and the supervision must not wait longer for a process that is stuck."""

FRESH_S = 10.0
"""Age of a pool's lock file up to which holders may still have slots in an earlier folder; they
make them anew once a second."""


LOCKS = Path("/proc/locks")


class SlotFolderError(EncodingError):
    """The slot directory can't be used, so nobody can know who holds a session."""


class SlotsLocked(SlotFolderError):
    """Another process keeps the pool's lock: it is stopped, or its driver hangs."""


class Slots:
    """The slot files in one folder.

    Args:
        folder: of the pool.
        earlier: folders in which its holders may still have their slots.
    """

    def __init__(self, folder: Path, earlier: Sequence[Path] = ()) -> None:
        self.folder = folder
        self._earlier = earlier

    def file(self, slot: int) -> Path:
        """Return the file of a slot."""
        return self.folder / f"slot-{slot}.lock"

    def scan(self) -> tuple[list[Holder], dict[int, int]]:
        """Return the current holders, and the lowest free slot with its locked descriptor.

        Call it with the pool's lock.
        """
        holders: list[Holder] = []
        free: dict[int, int] = {}
        for slot in self._numbers():
            file = self.file(slot)
            descriptor = try_lock(file)
            if descriptor is None:
                holders.append(read_holder(file, slot))
            elif not free:
                free[slot] = descriptor
            else:
                os.close(descriptor)
        return [*holders, *self._lost_holders()], free

    def look(self) -> list[Holder]:
        """Return the current holders without the pool's lock.

        For a status while a process keeps that lock. Should it go on in the same instant, it may
        take a free slot for held; never the other way round.
        """
        slots = {slot: self.file(slot) for slot in self._numbers()}
        return [read_holder(file, slot) for slot, file in slots.items() if is_locked(file)]

    def written(self) -> list[Holder]:
        """Return the holders named in slot files, dead or alive, without the pool's lock."""
        holders = (read_holder(self.file(slot), slot) for slot in self._numbers())
        return [holder for holder in holders if holder.pid is not None]

    def stale(self, *, clear: bool) -> list[Holder]:
        """Return the holders named in slots that nobody holds; call it with the pool's lock."""
        stale: list[Holder] = []
        for slot in self._numbers():
            file = self.file(slot)
            descriptor = try_lock(file)
            if descriptor is not None:
                if file.stat().st_size:
                    stale.append(read_holder(file, slot))
                    if clear:
                        os.ftruncate(descriptor, 0)
                os.close(descriptor)
        return stale

    def free_slot(self) -> tuple[int, int]:
        """Return a free slot, made if there is none, with its locked descriptor."""
        for slot in self._numbers():
            if (descriptor := try_lock(self.file(slot))) is not None:
                return slot, descriptor
        return self.new_slot()

    def new_slot(self) -> tuple[int, int]:
        """Make another slot; return it with its locked descriptor."""
        slot = max(self._numbers(), default=-1) + 1
        descriptor = try_lock(self.file(slot))
        if descriptor is None:
            raise SlotFolderError(f"{self.file(slot)} is locked by something other than a lease")
        return slot, descriptor

    def _numbers(self) -> list[int]:
        stems = (file.stem.removeprefix("slot-") for file in self.folder.glob("slot-*.lock"))
        return sorted(int(stem) for stem in stems if stem.isdigit())

    def _lost_holders(self) -> list[Holder]:
        """Return the holders whose slots are not in this folder, while it is new."""
        # Nobody writes to the lock file, so its time is that of its creation.
        if time.time() - (self.folder / "pool.lock").stat().st_mtime > FRESH_S:
            return []
        folders = {str(folder) for folder in (self.folder, *self._earlier)}
        present = {_inode(self.file(slot)) for slot in self._numbers()}
        found: dict[tuple[int, int], Holder] = {}
        for link, target in _locked_files():
            path = Path(target.removesuffix(" (deleted)"))
            number = path.stem.removeprefix("slot-")
            if str(path.parent) not in folders or not number.isdigit():
                continue
            with contextlib.suppress(OSError):  # Its process has ended meanwhile.
                inode = _inode(link)
                if inode not in present and is_locked(link, follow=True):
                    found[inode] = read_holder(link, int(number))
        return list(found.values())


class SlotFolder:
    """Files of the slots of one pool, and their lock.

    Args:
        name: of the pool, and of its folder.
        locate: returns the slot directory to use now, or raises ``StartError``.
        places: every slot directory that ``locate`` may return.
    """

    def __init__(self, name: str, locate: Callable[[], Path], places: Sequence[Path] = ()) -> None:
        self._name = name
        self._locate = locate
        self._places = places

    @contextlib.contextmanager
    def locked(self, timeout_s: float) -> Iterator[Slots]:
        """Exclude every other process from leasing, counting and learning.

        Raises:
            SlotsLocked: another process has held the lock for ``timeout_s`` seconds.
            SlotFolderError: the slot directory can't be used.
        """
        with self.unlocked() as slots, locked(slots.folder / "pool.lock", timeout_s):
            yield slots

    @contextlib.contextmanager
    def unlocked(self) -> Iterator[Slots]:
        """Give access to the slots without their lock.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        place = self._places[0] if self._places else None
        try:
            place = self._locate()
            folder = private_folder(place / self._name, setting="METABONK_NVENC_SLOT_DIR")
            yield Slots(folder, [each / self._name for each in self._places])
        except StartError as error:
            raise SlotFolderError(str(error)) from None
        except OSError as error:
            where = f" in {place / self._name}" if place else ""
            raise SlotFolderError(
                f"encoder sessions can't be leased{where}: {error.strerror}. "
                "Set METABONK_NVENC_SLOT_DIR to a writable folder on a local disk"
            ) from None

    def restore(self, leases: Iterable[Lease]) -> list[Lease]:
        """Make the slots of leases anew whose files have been removed; return those leases.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        with self.unlocked() as slots:
            lost = [each for each in leases if each.held and not each.holds(slots.file(each.slot))]
        if lost:
            with self.locked(LOOK_TIMEOUT_S) as slots:
                for lease in lost:
                    lease.move_to(*slots.free_slot())
        return lost


@contextlib.contextmanager
def locked(file: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold a file's lock for the duration of the block.

    The wait is bounded, so that one process stopped or hung in the driver can't stop all others.

    Raises:
        SlotsLocked: another process has held it for ``timeout_s`` seconds.
        OSError: the file can't be made, or its filesystem has no locks.
    """
    descriptor = lock(file, timeout_s)
    if descriptor is None:
        raise SlotsLocked(
            f"{file} has been locked for {timeout_s:.1f} s by a process that appears stuck; "
            f"'lsof {file}' shows which"
        )
    try:
        yield
    finally:
        os.close(descriptor)


def _locked_files() -> Iterator[tuple[Path, str]]:
    """Yield links to the open files of processes that hold locks, with what they lead to."""
    for pid in sorted(_locking_pids()):
        with contextlib.suppress(OSError):  # Ended meanwhile, or not ours to see.
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    yield link, str(link.readlink())


def _locking_pids() -> set[int]:
    """Return the pids of the processes that hold a flock, as far as this namespace shows them."""
    # proc(5), /proc/locks: "1: FLOCK ADVISORY WRITE <pid> <device>:<inode> 0 EOF".
    lines = (line.split() for line in LOCKS.read_text(encoding="utf-8").splitlines())
    return {int(fields[4]) for fields in lines if fields[1] == "FLOCK" and int(fields[4]) > 0}


def _inode(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino
