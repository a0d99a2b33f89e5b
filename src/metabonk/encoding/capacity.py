"""How many workers can be live at once, and which of them together, for the director."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from metabonk.encoding.ladder import RUNGS, PoolKind
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Pool, Pools


@dataclass(frozen=True, slots=True)
class Capacity:
    """The sessions that a fleet has or could open, and which worker may use which.

    A worker uses those of its own GPU. One whose GPU has no encoder, or that has none, encodes in
    software; with ``cpu_fallback`` every other one may as well. VA-API is for all.

    Attributes:
        gpus: the pool of each GPU that the workers go round, in that order; None for a GPU without
            an encoder.
        nvenc: sessions by pool.
        va: sessions through VA-API.
        cpu: sessions in software.
        cpu_fallback: whether software may stand in for a GPU's encoder.
    """

    gpus: tuple[str | None, ...] = ()
    nvenc: Mapping[str, int] = field(default_factory=dict)
    va: int = 0
    cpu: int = 0
    cpu_fallback: bool = False

    @property
    def is_divided(self) -> bool:
        """Whether workers differ in what sessions they can have."""
        return len(set(self.gpus)) > 1

    @property
    def total(self) -> int:
        """Sessions in all that some worker may use."""
        in_software = self.cpu if self.cpu_fallback or None in (self.gpus or (None,)) else 0
        return sum(self.nvenc.values()) + self.va + in_software

    def pool_of(self, worker: int) -> str | None:
        """The NVENC pool of a worker; None where it has none. Workers of one pool are alike."""
        return self.gpus[worker % len(self.gpus)] if self.gpus else None

    def sessions_of(self, worker: int) -> int:
        """How many sessions there are that this worker could have."""
        pool = self.pool_of(worker)
        in_software = self.cpu if pool is None or self.cpu_fallback else 0
        return self.nvenc.get(pool or "", 0) + self.va + in_software

    def shortage(self, workers: Iterable[int]) -> int:
        """How many of these would have no session if all of them were live at once."""
        only_hardware = in_software = 0
        for pool, count in Counter(map(self.pool_of, workers)).items():
            over = max(0, count - self.nvenc.get(pool or "", 0))
            if pool is None or self.cpu_fallback:
                in_software += over
            else:
                only_hardware += over
        va_left = max(0, self.va - only_hardware)
        return max(0, only_hardware - self.va) + max(0, in_software - va_left - self.cpu)

    def has_room(self, live: Collection[int], worker: int) -> bool:
        """Whether there is a session for one more, beside these."""
        return self.shortage([*live, worker]) == self.shortage(live)

    def may_replace(self, live: Collection[int], leaving: int, coming: int) -> bool:
        """Whether the session that ``leaving`` of these gives up is one for ``coming``."""
        if self.pool_of(leaving) == self.pool_of(coming):
            return True
        after = [coming, *(worker for worker in live if worker != leaving)]
        return self.shortage(after) <= self.shortage(live)

    def comes_first(self, worker: int) -> bool:
        """Whether it would be live where the first workers by index are."""
        live: list[int] = []
        for each in range(worker + 1):
            if self.has_room(live, each):
                live.append(each)
        return worker in live


def capacity(pools: Pools, proofs: ProbeCache, *, allow_cpu_fallback: bool) -> Capacity:
    """What this fleet has now.

    Sessions of other programs are taken off. A GPU counts until it is known to have no encoder;
    VA-API counts once it has worked here.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    usable = {
        gpu.index: pool
        for gpu in pools.census.gpus
        if (pool := pools.nvenc(gpu.index)) and pools.why_no_nvenc(gpu.index) is None
    }
    va_works = any(
        (proof := proofs.known(rung, None)) is not None and proof.works
        for rung in RUNGS
        if rung.pool_kind is PoolKind.VA
    )

    def left(pool: Pool) -> int:
        usage = pool.usage()
        return max(0, usage.limit - usage.foreign)

    return Capacity(
        gpus=tuple(
            usable[gpu.index].name if gpu.index in usable else None for gpu in pools.census.gpus
        ),
        nvenc={pool.name: left(pool) for pool in usable.values()},
        va=left(pools.va) if va_works else 0,
        cpu=left(pools.cpu),
        cpu_fallback=allow_cpu_fallback,
    )
