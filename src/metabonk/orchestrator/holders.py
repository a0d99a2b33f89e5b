"""Encoder sessions and who holds them, as the page shows it."""

from typing import Literal

from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import Pool
from metabonk.messages import PoolStatus, SlotHolder


def pool_statuses(pools: Pools) -> list[PoolStatus]:
    """Every pool of this host now, NVENC first; cards that share one limit are one pool.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    first_card: dict[str, tuple[Pool, Gpu]] = {}
    for gpu in pools.census.gpus:
        if pool := pools.nvenc(gpu.index):
            first_card.setdefault(pool.name, (pool, gpu))
    nvenc = [_status(pool, "nvenc", gpu) for pool, gpu in first_card.values()]
    return [*nvenc, _status(pools.cpu, "cpu", None)]


def _status(pool: Pool, kind: Literal["nvenc", "cpu"], gpu: Gpu | None) -> PoolStatus:
    usage = pool.usage()
    ours = [
        SlotHolder(slot=holder.slot, instance_id=holder.worker, pid=holder.pid, ours=True)
        for holder in usage.holders
    ]
    theirs = [SlotHolder(slot=None, instance_id=None, pid=None, ours=False)] * usage.foreign
    return PoolStatus(
        pool=kind,
        gpu_index=gpu.index if gpu else None,
        gpu_name=gpu.name if gpu else None,
        used=usage.used,
        limit=usage.limit,
        holders=[*ours, *theirs],
    )
