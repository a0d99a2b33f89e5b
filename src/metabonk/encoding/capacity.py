"""How many workers can be live at once, for the director."""

from metabonk.encoding.ladder import RUNGS, Scarcity
from metabonk.encoding.proofs import Proofs
from metabonk.encoding.sessions import Pools


def capacity(pools: Pools, proofs: Proofs, *, allow_cpu_fallback: bool) -> int:
    """Sessions that are open or could be opened by this fleet now, over all pools.

    Sessions of other programs are taken off. A GPU counts until it is known to have no encoder;
    VA-API counts once it has worked here.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    encoding_gpus = [
        gpu
        for gpu in pools.census.gpus
        if not any(
            (proof := proofs.known(rung, gpu)) is not None and not proof.hardware
            for rung in RUNGS
            if rung.scarcity is Scarcity.NVENC
        )
    ]
    usable = {pool.name: pool for gpu in encoding_gpus if (pool := pools.nvenc(gpu.index))}
    if any(
        (proof := proofs.known(rung, None)) is not None and proof.works
        for rung in RUNGS
        if rung.scarcity is Scarcity.VA
    ):
        usable["va"] = pools.va
    if not encoding_gpus or allow_cpu_fallback:
        usable["cpu"] = pools.cpu
    usages = [pool.usage() for pool in usable.values()]
    return sum(max(0, usage.limit - usage.foreign) for usage in usages)
