"""Which GPUs a process may use, and in which order: what CUDA shows it and the user chose. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from metabonk.encoding.sessions.cuda_uuids import CudaQueryError
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory


def narrowed(
    census: GpuInventory,
    *,
    visible: str | None,
    chosen: Sequence[int] | None,
    ask_cuda: Callable[[], Sequence[str]],
) -> GpuInventory:
    """The census with ``gpus`` narrowed to what may be used, each with CUDA's number for it.

    Args:
        census: of every GPU of the machine.
        visible: what ``CUDA_VISIBLE_DEVICES`` says, None where it says nothing.
        chosen: what ``METABONK_GPUS`` says, None where it says nothing.
        ask_cuda: gives the UUIDs that CUDA shows. Only asked where the variable counts, since
            what a number means there only CUDA knows. Raises CudaSilent.
    """
    if not census.gpus:
        return census
    try:
        shown = _shown(census.gpus, visible, ask_cuda)
    except CudaQueryError as error:
        return GpuInventory(others=census.gpus, unavailable=str(error))
    shown = tuple(replace(gpu, ordinal=number) for number, gpu in enumerate(shown))
    gpus = shown if chosen is None else _chosen(shown, chosen)
    used = {gpu.index for gpu in gpus}
    unavailable = None
    if not shown:
        unavailable = f"every GPU is hidden by CUDA_VISIBLE_DEVICES={visible}"
    elif not gpus:
        unavailable = f"METABONK_GPUS names no GPU that is there: {_numbers(shown)} are"
    others = tuple(gpu for gpu in census.gpus if gpu.index not in used)
    return GpuInventory(gpus, others, unavailable)


def gpu_of_worker(worker: int, gpus: Sequence[Gpu]) -> Gpu | None:
    """The GPU of a worker: they go round. The learner has the first one's."""
    return gpus[worker % len(gpus)] if gpus else None


def _shown(
    gpus: Sequence[Gpu], visible: str | None, ask_cuda: Callable[[], Sequence[str]]
) -> tuple[Gpu, ...]:
    if visible is None:
        return tuple(gpus)
    names = [name.strip() for name in visible.split(",")]
    if any(name.isdigit() for name in names):
        by_uuid = {gpu.uuid: gpu for gpu in gpus}
        return tuple(by_uuid[uuid] for uuid in ask_cuda() if uuid in by_uuid)
    shown: list[Gpu] = []
    for name in names:
        named = [gpu for gpu in gpus if name and gpu.uuid.startswith(name)]
        if len(named) != 1 or named[0] in shown:
            # CUDA hides what follows a name that means nothing (CUDA C++ Programming Guide).
            break
        shown += named
    return tuple(shown)


def _chosen(shown: Sequence[Gpu], chosen: Sequence[int]) -> tuple[Gpu, ...]:
    by_index = {gpu.index: gpu for gpu in shown}
    return tuple(by_index[index] for index in chosen if index in by_index)


def _numbers(gpus: Sequence[Gpu]) -> str:
    return ", ".join(str(gpu.index) for gpu in gpus)
