"""GPUs a process may use, and their order, from what CUDA shows and the user selected. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from metabonk.encoding.sessions.cuda_uuids import CudaQueryError
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory


def select_gpus(
    inventory: GpuInventory,
    *,
    visible: str | None,
    selected: Sequence[int] | None,
    query_cuda: Callable[[], Sequence[str]],
) -> GpuInventory:
    """Return the inventory with ``gpus`` reduced to the usable ones, each with CUDA's ordinal.

    Args:
        inventory: every GPU of the machine.
        visible: ``CUDA_VISIBLE_DEVICES``; None if unset.
        selected: ``METABONK_GPUS``; None if unset.
        query_cuda: returns the UUIDs that CUDA shows, or raises ``CudaQueryError``. Called only if
            ``visible`` contains numbers: only CUDA knows what they mean.
    """
    if not inventory.gpus:
        return inventory
    try:
        shown = _shown(inventory.gpus, visible, query_cuda)
    except CudaQueryError as error:
        return replace(inventory, gpus=(), others=inventory.gpus, unavailable=str(error))
    shown = tuple(replace(gpu, ordinal=ordinal) for ordinal, gpu in enumerate(shown))
    gpus = shown if selected is None else _selected(shown, selected)
    used = {gpu.index for gpu in gpus}
    unavailable = None
    if not shown:
        unavailable = f"every GPU is hidden by CUDA_VISIBLE_DEVICES={visible}"
        if visible not in ("", "-1"):
            unavailable += "; 'nvidia-smi -L' lists the names of GPUs and MIG slices"
    elif not gpus:
        unavailable = f"METABONK_GPUS selects none of the available GPUs: {_indices(shown)}"
    others = tuple(gpu for gpu in inventory.gpus if gpu.index not in used)
    return replace(inventory, gpus=gpus, others=others, unavailable=unavailable)


def gpu_of_worker(worker: int, gpus: Sequence[Gpu]) -> Gpu | None:
    """Return a worker's GPU, assigned round-robin. The learner uses the first one."""
    return gpus[worker % len(gpus)] if gpus else None


def _shown(
    gpus: Sequence[Gpu], visible: str | None, query_cuda: Callable[[], Sequence[str]]
) -> tuple[Gpu, ...]:
    if visible is None:
        return tuple(gpus)
    names = [name.strip() for name in visible.split(",")]
    if any(name.isdigit() for name in names):
        by_uuid = {gpu.uuid: gpu for gpu in gpus}
        return tuple(by_uuid[uuid] for uuid in query_cuda() if uuid in by_uuid)
    shown: list[Gpu] = []
    for name in names:
        named = [gpu for gpu in (*gpus, *_slices(gpus)) if name and _is_named(gpu, name)]
        if len(named) != 1 or named[0] in shown:
            # CUDA hides every device after an invalid name (CUDA C++ Programming Guide).
            break
        shown += named
    return tuple(shown)


def _slices(gpus: Sequence[Gpu]) -> list[Gpu]:
    return [replace(gpu, used_slice=name) for gpu in gpus for name in gpu.slices]


def _is_named(gpu: Gpu, name: str) -> bool:
    """Tell whether CUDA takes a name for this GPU, or this slice of it; a prefix is enough."""
    if gpu.used_slice is not None:
        return gpu.used_slice.startswith(name)
    return gpu.uuid.startswith(name)


def _selected(shown: Sequence[Gpu], selected: Sequence[int]) -> tuple[Gpu, ...]:
    return tuple(gpu for index in selected for gpu in shown if gpu.index == index)


def _indices(gpus: Sequence[Gpu]) -> str:
    return ", ".join(str(gpu.index) for gpu in gpus)
