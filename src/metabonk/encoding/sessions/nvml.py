"""NVIDIA's management library: the GPUs of this machine and all encoder sessions on them.

NVML alone can't tell whether a GPU has an encoder: an H200 reports 100 % encoder capacity and has
none. Only opening a session can (``encoding/probe.py``).
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pynvml

from metabonk.encoding.sessions.lease import Holder
from metabonk.settings.environment import visible_to


@dataclass(frozen=True, slots=True)
class DriverSession:
    """An encoder session of any program.

    ``pid`` is the host's, whatever container this process runs in.
    """

    pid: int
    width: int
    height: int
    fps: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU as the driver describes it."""

    index: int
    """As NVML and ``nvidia-smi`` count."""
    uuid: str
    name: str
    brand: int
    driver: str
    sessions: tuple[DriverSession, ...] = ()
    session_count: int = 0
    """May exceed ``len(sessions)``: on some systems only the count is right."""
    ordinal: int = 0
    """CUDA's index of it in this process. Equals NVML's index unless CUDA's devices are restricted;
    every process of a fleet sees a single GPU, so there it is 0."""
    is_only_gpu: bool = True
    """True if the machine has no other."""
    slices: tuple[str, ...] = ()
    """UUIDs of its MIG slices, which share its encoder and so its sessions."""
    used_slice: str | None = None
    """The slice that this process may use; None: the whole GPU, or whichever CUDA takes first."""

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which a child process sees this GPU and no other.

        PyTorch, FFmpeg and GStreamer then all use the same device, the first, and GStreamer's
        plugin opens sessions on no other while it is loaded.
        """
        if self.used_slice is not None:
            return visible_to(self.used_slice)
        return {} if self.is_only_gpu else visible_to(self.uuid)


@dataclass(frozen=True, slots=True)
class FailedGpu:
    """A GPU that the driver lists and can't query.

    Attributes:
        index: as NVML counts.
        reason: the driver's.
        is_forbidden: this process may not use it, so that nothing is wrong.
    """

    index: int
    reason: str
    is_forbidden: bool = False


@dataclass(frozen=True, slots=True)
class GpuInventory:
    """The GPUs of the machine.

    Attributes:
        gpus: usable by this process, in the order in which workers get them.
        others: not usable by it; they count where cards share a limit.
        unavailable: reason why ``gpus`` is empty.
        failed: GPUs that can't be queried, and are used by nobody.
    """

    gpus: tuple[Gpu, ...] = ()
    others: tuple[Gpu, ...] = ()
    unavailable: str | None = None
    failed: tuple[FailedGpu, ...] = ()
    by_index: dict[int, Gpu] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Several slices of a GPU may be used; the first stands for it.
        by_index = {gpu.index: gpu for gpu in reversed((*self.gpus, *self.others))}
        object.__setattr__(self, "by_index", by_index)

    @property
    def all_gpus(self) -> tuple[Gpu, ...]:
        """Every GPU of the machine once, by index."""
        return tuple(gpu for _, gpu in sorted(self.by_index.items()))


class Nvml:
    """NVML, initialised once per process because that takes longer than any query.

    Args:
        hidden: report no GPU at all.
    """

    def __init__(self, *, hidden: bool = False) -> None:
        self._ready = False
        self._hidden = hidden

    def inventory(self) -> GpuInventory:
        """Return every GPU with its current sessions. Never raises: having no GPU is ordinary."""
        if self._hidden:
            return GpuInventory(unavailable="every GPU is hidden by CUDA_VISIBLE_DEVICES")
        try:
            self._initialize()
            driver = _text(pynvml.nvmlSystemGetDriverVersion())
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError_LibraryNotFound:
            return GpuInventory(
                unavailable="no NVIDIA driver on this machine (libnvidia-ml.so.1 not found)"
            )
        except pynvml.NVMLError as error:
            self._ready = False
            return GpuInventory(unavailable=f"the NVIDIA driver does not answer: {error}")
        gpus: list[Gpu] = []
        failed: list[FailedGpu] = []
        for index in range(count):
            try:
                gpus.append(_gpu(index, driver, is_only_gpu=count == 1))
            except pynvml.NVMLError as error:
                is_forbidden = isinstance(error, pynvml.NVMLError_NoPermission)
                failed.append(FailedGpu(index, str(error), is_forbidden))
        unavailable = None
        if failed and not gpus:
            reasons = "; ".join(f"GPU {gpu.index}: {gpu.reason}" for gpu in failed)
            unavailable = f"the NVIDIA driver can't query any GPU ({reasons})"
        return GpuInventory(tuple(gpus), unavailable=unavailable, failed=tuple(failed))

    def sessions(self, index: int) -> tuple[tuple[DriverSession, ...], int]:
        """Return the sessions on one GPU and the driver's count; empty if it can't be queried."""
        if self._hidden:
            return (), 0
        try:
            self._initialize()
            return _sessions(pynvml.nvmlDeviceGetHandleByIndex(index))
        except pynvml.NVMLError as error:
            # A driver that was loaded again has to be initialised again.
            self._ready = isinstance(error, pynvml.NVMLError_GpuIsLost)
            return (), 0

    def free_memory(self, index: int) -> int | None:
        """Return the free memory of one GPU, bytes; None if it can't be queried."""
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            return int(pynvml.nvmlDeviceGetMemoryInfo(handle).free)
        except pynvml.NVMLError:
            return None

    def _initialize(self) -> None:
        if not self._ready:
            pynvml.nvmlInit()
            self._ready = True


def external_sessions(
    sessions: Sequence[DriverSession], count: int, holders: Sequence[Holder]
) -> int:
    """Count the open sessions that belong to no lease.

    A session is ours if its pid holds a lease that is not matched yet. NVML reports host pids, so
    inside a container none match; each unmatched lease whose encoder is open then accounts for one
    of the remaining sessions.

    Args:
        sessions: the driver's list.
        count: the driver's count, which is right where the list is empty.
        holders: holders of all our leases on this GPU.
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


def _gpu(index: int, driver: str, *, is_only_gpu: bool) -> Gpu:
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
        is_only_gpu=is_only_gpu,
        slices=tuple(_slices(handle)),
    )


def _slices(handle: object) -> Iterator[str]:
    """Yield the UUIDs of a GPU's MIG slices; none where it has, or the driver knows, no MIG."""
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
        places = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle) if current else 0
    except pynvml.NVMLError:
        return
    for place in range(places):
        # Most places are empty, and MIG may be reconfigured meanwhile.
        with contextlib.suppress(pynvml.NVMLError):
            yield _text(
                pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
            )


def _sessions(handle: object) -> tuple[tuple[DriverSession, ...], int]:
    """Return sessions and count; none for GPUs and drivers that don't support the query."""
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
