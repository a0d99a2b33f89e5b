"""Machines with these GPUs, whatever this one has."""

from pathlib import Path

import pynvml

from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory, Nvml

GEFORCE = Gpu(0, "GPU-0", "NVIDIA GeForce RTX 4070", pynvml.NVML_BRAND_GEFORCE, "590.44")
H100 = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", pynvml.NVML_BRAND_NVIDIA, "590.44")


class _Machine(Nvml):
    def __init__(self, census: GpuInventory) -> None:
        self._census = census

    def census(self) -> GpuInventory:
        return self._census


def pools_of(folder: Path, *gpus: Gpu, unavailable: str | None = None) -> Pools:
    """The pools of such a machine, under ``folder``."""
    machine = _Machine(GpuInventory(gpus, unavailable=unavailable))
    return Pools(folder, nvenc_limit=0, cpu_limit=1, nvml=machine)
