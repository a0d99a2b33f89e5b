"""Machines with given GPUs, whatever this one has."""

from pathlib import Path

import pynvml

from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import DriverSession, Gpu, GpuInventory, Nvml

GEFORCE = Gpu(0, "GPU-0", "NVIDIA GeForce RTX 4070", pynvml.NVML_BRAND_GEFORCE, "590.44")
H100 = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", pynvml.NVML_BRAND_NVIDIA, "590.44")


class FakeNvml(Nvml):
    """NVML of a machine with these GPUs.

    Args:
        gpus: of the machine.
        unavailable: reason why there are none.

    Attributes:
        free: memory of each GPU, bytes; None if it can't be queried.
    """

    def __init__(self, *gpus: Gpu, unavailable: str | None = None) -> None:
        self._inventory = GpuInventory(gpus, unavailable=unavailable)
        self.free: int | None = 16 << 30

    def inventory(self) -> GpuInventory:
        return self._inventory

    def sessions(self, index: int) -> tuple[tuple[DriverSession, ...], int]:
        gpu = self.inventory().by_index.get(index)
        return (gpu.sessions, gpu.session_count) if gpu else ((), 0)

    def free_memory(self, index: int) -> int | None:
        return self.free


def pools_of(folder: Path, *gpus: Gpu, limit: int = 0, unavailable: str | None = None) -> Pools:
    """Return the pools of such a machine, with their slots under ``folder``.

    Args:
        folder: of the slots.
        gpus: of the machine.
        limit: ``METABONK_NVENC_MAX_SESSIONS``.
        unavailable: reason why there are no GPUs.
    """
    nvml = FakeNvml(*gpus, unavailable=unavailable)
    return Pools(folder, nvenc_limit=limit, cpu_limit=1, nvml=nvml)
