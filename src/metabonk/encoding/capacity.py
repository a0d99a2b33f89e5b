"""Encoder sessions available to a fleet, and which workers can be live together."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from metabonk.encoding.ladder import RUNGS, PoolKind
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Pool, Pools


@dataclass(frozen=True, slots=True)
class Capacity:
    """Sessions that a fleet has or could open, and the workers that may use them.

    A worker uses the sessions of its own GPU. A worker without a GPU, or whose GPU has no encoder,
    encodes in software; with ``cpu_fallback`` all others may as well. VA-API is open to all.

    Attributes:
        gpus: pool of each GPU in the order of assignment to workers; None for a GPU without an
            encoder.
        nvenc: sessions by pool.
        va: sessions through VA-API.
        cpu: sessions in software.
        cpu_fallback: software may substitute for a GPU's encoder.
        notes: by pool, why the count may be off and nobody gets a lease.
    """

    gpus: tuple[str | None, ...] = ()
    nvenc: Mapping[str, int] = field(default_factory=dict)
    va: int = 0
    cpu: int = 0
    cpu_fallback: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_divided(self) -> bool:
        """True if workers differ in the sessions they may use."""
        return len(set(self.gpus)) > 1

    @property
    def total(self) -> int:
        """Number of sessions that any worker may use."""
        software = self.cpu if self.cpu_fallback or None in (self.gpus or (None,)) else 0
        return sum(self.nvenc.values()) + self.va + software

    def pool_of(self, worker: int) -> str | None:
        """Return a worker's NVENC pool, or None. Workers of the same pool are interchangeable."""
        return self.gpus[worker % len(self.gpus)] if self.gpus else None

    def sessions_of(self, worker: int) -> int:
        """Return the number of sessions this worker may use."""
        pool = self.pool_of(worker)
        software = self.cpu if pool is None or self.cpu_fallback else 0
        return self.nvenc.get(pool or "", 0) + self.va + software

    def shortage(self, workers: Iterable[int]) -> int:
        """Return how many of these workers would get no session if all were live at once."""
        hardware_only = software = 0
        for pool, count in Counter(map(self.pool_of, workers)).items():
            over = max(0, count - self.nvenc.get(pool or "", 0))
            if pool is None or self.cpu_fallback:
                software += over
            else:
                hardware_only += over
        va_left = max(0, self.va - hardware_only)
        return max(0, hardware_only - self.va) + max(0, software - va_left - self.cpu)

    def has_room(self, live: Collection[int], worker: int) -> bool:
        """Tell whether one more worker can be live beside these."""
        return self.shortage([*live, worker]) == self.shortage(live)

    def may_replace(self, live: Collection[int], leaving: int, coming: int) -> bool:
        """Tell whether ``coming`` can use the session that ``leaving``, one of these, gives up."""
        if self.pool_of(leaving) == self.pool_of(coming):
            return True
        after = [coming, *(worker for worker in live if worker != leaving)]
        return self.shortage(after) <= self.shortage(live)

    def comes_first(self, worker: int) -> bool:
        """Tell whether this worker is among the first by index that can be live together."""
        live: list[int] = []
        for index in range(worker + 1):
            if self.has_room(live, index):
                live.append(index)
        return worker in live


def measure_capacity(pools: Pools, probes: ProbeCache, *, allow_cpu_fallback: bool) -> Capacity:
    """Return the current capacity, less the sessions of other programs.

    A GPU counts until it is known to have no encoder; VA-API counts once a probe has succeeded.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    usable = {
        gpu.index: pool
        for gpu in pools.inventory.gpus
        if (pool := pools.nvenc(gpu.index)) and pools.no_nvenc_reason(gpu.index) is None
    }
    va_works = any(
        (result := probes.cached(rung, None)) is not None and result.works
        for rung in RUNGS
        if rung.pool_kind is PoolKind.VA
    )

    notes: dict[str, str] = {}

    def available(pool: Pool) -> int:
        usage = pool.usage()
        if usage.note is not None:
            notes[pool.name] = usage.note
        return max(0, usage.limit - usage.external)

    return Capacity(
        gpus=tuple(
            usable[gpu.index].name if gpu.index in usable else None for gpu in pools.inventory.gpus
        ),
        nvenc={pool.name: available(pool) for pool in usable.values()},
        va=available(pools.va) if va_works else 0,
        cpu=available(pools.cpu),
        cpu_fallback=allow_cpu_fallback,
        notes=notes,
    )
