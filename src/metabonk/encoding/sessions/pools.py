"""The pools of this host: ``cpu``, ``va``, and ``nvenc`` for its NVIDIA cards."""

from collections.abc import Callable, Sequence
from pathlib import Path

from metabonk.encoding.sessions import cuda_uuids as cuda_order
from metabonk.encoding.sessions.gpu_selection import narrowed
from metabonk.encoding.sessions.lease import Holder
from metabonk.encoding.sessions.limits import LearnedLimits, Limit, effective_limit, is_capped
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory, Nvml, foreign_sessions
from metabonk.encoding.sessions.pool import Pool
from metabonk.settings import Settings
from metabonk.settings.environment import gpus_are_hidden, visible_devices
from metabonk.settings.runtime_dir import private_folder, runtime_dir

VA_SESSIONS = 16
"""VA-API has no limit of sessions. One at 1280×720 and 60 frames a second takes some hundredths of
an integrated GPU; this keeps a large fleet from taking all of it."""

RENDER_NODES = Path("/dev/dri")


class Pools:
    """Hands out the pool that an encoder on a given device needs.

    A limit that the user set holds for each GPU, as the user's page counts. A limit found by us is
    one pool for all capped cards of the machine together, as NVIDIA counts: also those that this
    process may not use, so that all of them mean the same pool.

    Args:
        folder: a private one, of the slots.
        nvenc_limit: the user's; 0 where it is left to us.
        cpu_limit: sessions in software.
        nvml: asked for GPUs and sessions.
        usable: from the GPUs of the machine to those that may be used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nvenc_limit: int,
        cpu_limit: int,
        nvml: Nvml,
        usable: Callable[[GpuInventory], GpuInventory] = lambda census: census,
    ) -> None:
        self.folder = folder
        self._nvenc_limit = nvenc_limit
        self._nvml = nvml
        self._experiences = LearnedLimits(folder / "learned-limits.json")
        self.census: GpuInventory = usable(nvml.census())
        self.cpu = Pool("cpu", folder, lambda: cpu_limit)
        self.va = Pool("va", folder, lambda: VA_SESSIONS)
        self._nvenc = {gpu.index: self._pool_of(gpu) for gpu in self.census.machine}

    def nvenc(self, gpu_index: int) -> Pool | None:
        """The pool that NVENC sessions on this GPU come from; None where there is no such GPU."""
        return self._nvenc.get(gpu_index)

    def shared(self) -> list[tuple[Pool, list[Gpu]]]:
        """Every NVENC pool that may be used, once, with the usable GPUs whose sessions it has."""
        shared: dict[str, tuple[Pool, list[Gpu]]] = {}
        for gpu in self.census.gpus:
            pool = self._nvenc[gpu.index]
            shared.setdefault(pool.name, (pool, []))[1].append(gpu)
        return list(shared.values())

    def all(self) -> list[Pool]:
        """Every pool that may be used, once."""
        va = [self.va] if RENDER_NODES.exists() else []
        return [*(pool for pool, _ in self.shared()), *va, self.cpu]

    def sessions_counted(self) -> dict[str, int]:
        """Pool to how many sessions the driver counts on its cards now, everybody's."""
        counted: dict[str, int] = {}
        for index, pool in self._nvenc.items():
            _, count = self._nvml.sessions(index)
            counted[pool.name] = counted.get(pool.name, 0) + count
        return counted

    def limit(self, gpu: Gpu) -> Limit:
        """How many sessions this GPU's pool has, and how that is known."""
        learned = self._experiences.learned(_key([gpu]), gpu.driver)
        if learned != 0:
            learned = self._experiences.learned(_key(self._cards_of(gpu)), gpu.driver)
        return effective_limit(gpu, self._nvenc_limit, learned)

    def why_no_nvenc(self, gpu_index: int) -> str | None:
        """Why this GPU has no encoder for this process; None where it has, as far as is known."""
        if self.census.unavailable is not None:
            return self.census.unavailable
        gpu = self.census.by_index.get(gpu_index)
        if gpu is None:
            return f"there is no GPU {gpu_index} on this machine"
        limit = self.limit(gpu)
        return limit.because if limit.sessions == 0 else None

    def learn_that_there_is_no_encoder(self, gpu_index: int) -> None:
        """Remembers it of this GPU, until its driver changes.

        Raises:
            SlotFolderError: the slot directory can't be used.
        """
        gpu = self.census.by_index[gpu_index]
        with self._nvenc[gpu_index].critical_section():
            self._experiences.learn(_key([gpu]), gpu.driver, 0)

    def _pool_of(self, gpu: Gpu) -> Pool:
        cards = self._cards_of(gpu)

        def foreign(holders: Sequence[Holder]) -> int:
            now = [self._nvml.sessions(card.index) for card in cards]
            sessions = [session for listed, _ in now for session in listed]
            return foreign_sessions(sessions, sum(count for _, count in now), holders)

        return Pool(
            f"nvenc-gpu{gpu.index}" if len(cards) == 1 else "nvenc",
            self.folder,
            limit=lambda: self.limit(gpu).sessions,
            foreign=foreign,
            learn=lambda limit: self._experiences.learn(_key(cards), gpu.driver, limit),
        )

    def _cards_of(self, gpu: Gpu) -> list[Gpu]:
        """The cards that share this one's limit."""
        if self._nvenc_limit or not is_capped(gpu):
            return [gpu]
        return [card for card in self.census.machine if is_capped(card)]


def open_pools(settings: Settings) -> Pools:
    """The pools under the slot directory of these settings.

    Raises:
        StartError: the slot directory can't be made, or isn't safely this user's.
    """
    folder = (
        private_folder(settings.nvenc.slot_dir, setting="METABONK_NVENC_SLOT_DIR")
        if settings.nvenc.slot_dir
        else private_folder(
            runtime_dir(settings.paths.runtime) / "slots", setting="METABONK_NVENC_SLOT_DIR"
        )
    )
    return Pools(
        folder,
        nvenc_limit=settings.nvenc.max_sessions,
        cpu_limit=settings.cpu.effective_max_sessions,
        nvml=Nvml(hidden=gpus_are_hidden()),
        usable=lambda census: narrowed(
            census, visible=visible_devices(), chosen=settings.gpus, ask_cuda=cuda_order.ask
        ),
    )


def _key(cards: Sequence[Gpu]) -> str:
    return "+".join(sorted(card.uuid for card in cards))
