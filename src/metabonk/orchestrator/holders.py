"""Encoder sessions and who holds them, as the page shows it."""

from collections.abc import Sequence
from typing import Literal

from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import Pool
from metabonk.messages import PoolStatus, SlotHolder


def pool_statuses(pools: Pools) -> list[PoolStatus]:
    """Every pool that may be used, as it is now, NVENC first; cards that share a limit are one.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    nvenc = [_status(pool, "nvenc", gpus) for pool, gpus in pools.shared()]
    return [*nvenc, _status(pools.cpu, "cpu", [])]


def _status(pool: Pool, kind: Literal["nvenc", "cpu"], gpus: Sequence[Gpu]) -> PoolStatus:
    usage = pool.usage()
    ours = [
        SlotHolder(
            slot=holder.slot,
            instance_id=holder.worker,
            pid=holder.pid,
            gpu_index=holder.gpu,
            ours=True,
        )
        for holder in usage.holders
    ]
    others = SlotHolder(slot=None, instance_id=None, pid=None, gpu_index=None, ours=False)
    return PoolStatus(
        pool=kind,
        gpu_index=gpus[0].index if gpus else None,
        gpu_name=gpus[0].name if gpus else None,
        gpu_indices=[gpu.index for gpu in gpus],
        used=usage.used,
        limit=usage.limit,
        holders=[*ours, *[others] * usage.foreign],
    )
