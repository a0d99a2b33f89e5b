"""What NVIDIA's management library says of GPUs and of everybody's encoder sessions.

NVML alone lies about encoders: an H200 claims 100 % encoder capacity and has no encoder. Whether
one is there is found by opening a session (``encoding/probe.py``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pynvml

from metabonk.encoding.sessions.lease import Holder
from metabonk.settings.environment import seeing


@dataclass(frozen=True, slots=True)
class DriverSession:
    """An encoder session of any program.

    ``pid`` is the host's, whatever container this process is in.
    """

    pid: int
    width: int
    height: int
    fps: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU as the driver describes it."""

    index: int
    """NVML's and ``nvidia-smi``'s number of it."""
    uuid: str
    name: str
    brand: int
    driver: str
    sessions: tuple[DriverSession, ...] = ()
    session_count: int = 0
    """May exceed ``len(sessions)``: on some systems only the count is right."""
    ordinal: int = 0
    """CUDA's number of it in this process. Where nothing narrows what CUDA shows, NVML's order is
    taken for CUDA's; the processes of a fleet see one GPU each, and so its number is 0."""
    alone: bool = True
    """Whether the machine has no other."""

    @property
    def environment(self) -> dict[str, str]:
        """What the environment of a child has to say, for it to see this GPU and no other.

        A child that sees one GPU has nothing to choose or to mix up: PyTorch, FFmpeg and GStreamer
        each take the first, and GStreamer's plugin opens sessions on no other while it is loaded.
        """
        return {} if self.alone else seeing(self.uuid)


@dataclass(frozen=True, slots=True)
class GpuInventory:
    """The GPUs of the machine.

    Attributes:
        gpus: those that this process may use, in the order in which they are given out.
        others: those that it may not; they count where cards share a limit.
        unavailable: why there is none to use.
    """

    gpus: tuple[Gpu, ...] = ()
    others: tuple[Gpu, ...] = ()
    unavailable: str | None = None
    by_index: dict[int, Gpu] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_index", {gpu.index: gpu for gpu in self.machine})

    @property
    def machine(self) -> tuple[Gpu, ...]:
        """Every GPU, by index."""
        return tuple(sorted((*self.gpus, *self.others), key=lambda gpu: gpu.index))


class Nvml:
    """The library, initialised once a process, since that takes longer than any question to it.

    Args:
        hidden: no GPU is to be used, whatever there is.
    """

    def __init__(self, *, hidden: bool = False) -> None:
        self._ready = False
        self._hidden = hidden

    def census(self) -> GpuInventory:
        """Every GPU and its sessions now. Never raises: a machine without a GPU is ordinary."""
        if self._hidden:
            return GpuInventory(unavailable="every GPU is hidden by CUDA_VISIBLE_DEVICES")
        try:
            if not self._ready:
                pynvml.nvmlInit()
                self._ready = True
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
            count = pynvml.nvmlDeviceGetCount()
            return GpuInventory(
                tuple(_gpu(index, driver, alone=count == 1) for index in range(count))
            )
        except pynvml.NVMLError_LibraryNotFound:
            return GpuInventory(
                unavailable="no NVIDIA driver on this machine (libnvidia-ml.so.1 not found)"
            )
        except pynvml.NVMLError as error:
            self._ready = False
            return GpuInventory(unavailable=f"the NVIDIA driver does not answer: {error}")

    def sessions(self, index: int) -> tuple[tuple[DriverSession, ...], int]:
        """Sessions on one GPU and how many the driver counts; empty where it can't be asked."""
        census = self.census()
        gpu = census.by_index.get(index)
        return (gpu.sessions, gpu.session_count) if gpu else ((), 0)


def foreign_sessions(
    sessions: Sequence[DriverSession], count: int, holders: Sequence[Holder]
) -> int:
    """How many open sessions belong to no lease.

    A session is ours if its pid holds a lease that is not matched yet. NVML gives host pids, so in
    a container none of ours match: then leases whose encoder is open and that were not matched
    account for as many of the rest.

    Args:
        sessions: the driver's list.
        count: the driver's count, which is right where the list is empty.
        holders: of all our leases on this GPU.
    """
    open_pids = Counter(session.pid for session in sessions)
    unmatched_leases = 0
    for holder in holders:
        if holder.pid is not None and open_pids[holder.pid] > 0:
            open_pids[holder.pid] -= 1
        elif holder.session_open:
            unmatched_leases += 1
    unmatched_sessions = open_pids.total() + max(0, count - len(sessions))
    return max(0, unmatched_sessions - unmatched_leases)


def _gpu(index: int, driver: str, *, alone: bool) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    try:
        brand = int(pynvml.nvmlDeviceGetBrand(handle))
    except pynvml.NVMLError_NotSupported:
        brand = pynvml.NVML_BRAND_UNKNOWN
    sessions, count = _sessions(handle)
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        brand=brand,
        driver=driver,
        sessions=sessions,
        session_count=count,
        alone=alone,
    )


def _sessions(handle: object) -> tuple[tuple[DriverSession, ...], int]:
    """Sessions and count; GPUs and drivers that can't tell have none."""
    try:
        listed = tuple(
            DriverSession(
                int(entry.pid),
                int(entry.hResolution),
                int(entry.vResolution),
                int(entry.averageFps),
            )
            for entry in pynvml.nvmlDeviceGetEncoderSessions(handle)
        )
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_NotFound):
        listed = ()
    try:
        count = int(pynvml.nvmlDeviceGetEncoderStats(handle)[0])
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_NotFound):
        count = 0
    return listed, max(count, len(listed))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
