"""The pools of this host: ``cpu``, ``va``, and ``nvenc`` for its NVIDIA cards."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from metabonk.encoding.sessions.cuda_uuids import query_uuids
from metabonk.encoding.sessions.gpu_selection import select_gpus
from metabonk.encoding.sessions.lease import Holder
from metabonk.encoding.sessions.limits import (
    LearnedLimits,
    SessionLimit,
    effective_limit,
    is_capped,
    memory_shortage,
)
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory, Nvml, external_sessions
from metabonk.encoding.sessions.pool import Pool
from metabonk.errors import EncodingError, StartError
from metabonk.settings import Settings
from metabonk.settings.environment import gpus_are_hidden, visible_devices
from metabonk.settings.runtime_dir import runtime_dir, runtime_places
from metabonk.system.file_lock import FolderHold
from metabonk.system.private_folder import private_folder

log = logging.getLogger(__name__)

VA_SESSIONS = 16
"""VA-API has no session limit. One session at 1280×720 and 60 fps takes a few hundredths of an
integrated GPU; this keeps a large fleet from taking all of it."""

RENDER_NODES = Path("/dev/dri")


class Pools:
    """The pool of every encoder of this host.

    A configured limit applies to each GPU. A limit found automatically is one pool for all capped
    cards of the machine, as NVIDIA counts, including those that this process may not use: every
    process must mean the same pool.

    Args:
        folder: private directory for the slots.
        nvenc_limit: configured sessions per GPU; 0 to determine it automatically.
        cpu_limit: sessions in software.
        nvml: source of GPUs and sessions.
        usable: reduces the machine's GPUs to the usable ones.
        locate: returns the directory to use now, where ``folder`` may be removed.
        places: every directory that ``locate`` may return.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nvenc_limit: int,
        cpu_limit: int,
        nvml: Nvml,
        usable: Callable[[GpuInventory], GpuInventory] = lambda inventory: inventory,
        locate: Callable[[], Path] | None = None,
        places: Sequence[Path] = (),
    ) -> None:
        self.folder = folder
        self._locate = locate or (lambda: folder)
        self._places = places
        self._hold = FolderHold()
        self._nvenc_limit = nvenc_limit
        self._nvml = nvml
        self._learned = LearnedLimits(folder / "learned-limits.json")
        self.inventory: GpuInventory = usable(nvml.inventory())
        self.cpu = Pool("cpu", folder, lambda: cpu_limit, locate=locate, places=places)
        self.va = Pool("va", folder, lambda: VA_SESSIONS, locate=locate, places=places)
        self._nvenc = {gpu.index: self._make_pool(gpu) for gpu in self.inventory.all_gpus}

    def nvenc(self, gpu_index: int) -> Pool | None:
        """Return the pool of this GPU's NVENC sessions; None if there is no such GPU."""
        return self._nvenc.get(gpu_index)

    def nvenc_pools(self) -> list[tuple[Pool, list[Gpu]]]:
        """Return every usable NVENC pool once, with the usable GPUs that share it."""
        by_name: dict[str, tuple[Pool, list[Gpu]]] = {}
        for gpu in self.inventory.gpus:
            pool = self._nvenc[gpu.index]
            _, members = by_name.setdefault(pool.name, (pool, []))
            if gpu.index not in (member.index for member in members):
                # Another slice of the same GPU shares its sessions.
                members.append(gpu)
        return list(by_name.values())

    def all(self) -> list[Pool]:
        """Return every usable pool once."""
        va = [self.va] if RENDER_NODES.exists() else []
        return [*(pool for pool, _ in self.nvenc_pools()), *va, self.cpu]

    def keep(self) -> None:
        """Keep the slot directory from being cleaned, and hold leases anew where it was removed.

        To be called about once a second by whoever has leases. Never raises.
        """
        try:
            self._hold.hold(self._locate())
            for pool in {
                pool.name: pool for pool in (*self._nvenc.values(), self.va, self.cpu)
            }.values():
                for lease in pool.restore_leases():
                    log.warning(
                        "%s: the slot directory was removed; slot %d is held anew",
                        pool.name,
                        lease.slot,
                    )
        except (EncodingError, StartError, OSError) as error:
            log.warning("leases can't be kept: %s", error)

    def driver_counts(self) -> dict[str, int]:
        """Return, by pool, how many sessions of all programs the driver counts on its cards."""
        counts: dict[str, int] = {}
        for index, pool in self._nvenc.items():
            _, count = self._nvml.sessions(index)
            counts[pool.name] = counts.get(pool.name, 0) + count
        return counts

    def limit(self, gpu: Gpu) -> SessionLimit:
        """Return the session limit of this GPU's pool."""
        learned = self._learned.learned(_key([gpu]), gpu.driver)
        if learned is None or learned.limit != 0:
            learned = self._learned.learned(_key(self._limit_group(gpu)), gpu.driver)
        return effective_limit(gpu, self._nvenc_limit, learned, time.time())

    def memory_shortage(self, gpu_index: int, code: int) -> str | None:
        """Return why a refusal by the driver is no session limit; None if it is one.

        Args:
            gpu_index: of the GPU that was to encode.
            code: of the refusal, one of ``LIMIT_CODES``.
        """
        return memory_shortage(code, self._nvml.free_memory(gpu_index))

    def no_nvenc_reason(self, gpu_index: int) -> str | None:
        """Return why this process can't use NVENC on this GPU; None if, as far as known, it can."""
        if self.inventory.unavailable is not None:
            return self.inventory.unavailable
        gpu = self.inventory.by_index.get(gpu_index)
        if gpu is None:
            return f"there is no GPU {gpu_index} on this machine"
        limit = self.limit(gpu)
        return limit.reason if limit.sessions == 0 else None

    def mark_no_encoder(self, gpu_index: int) -> None:
        """Remember that this GPU has no encoder, until its driver changes."""
        gpu = self.inventory.by_index[gpu_index]
        self._learned.learn(_key([gpu]), gpu.driver, 0)

    def _make_pool(self, gpu: Gpu) -> Pool:
        cards = self._limit_group(gpu)

        def external(holders: Sequence[Holder]) -> int:
            by_card = [self._nvml.sessions(card.index) for card in cards]
            sessions = [session for listed, _ in by_card for session in listed]
            return external_sessions(sessions, sum(count for _, count in by_card), holders)

        return Pool(
            f"nvenc-gpu{gpu.index}" if len(cards) == 1 else "nvenc",
            self.folder,
            limit=lambda: self.limit(gpu).sessions,
            external=external,
            learn=lambda limit: self._learned.learn(_key(cards), gpu.driver, limit),
            locate=self._locate,
            places=self._places,
        )

    def _limit_group(self, gpu: Gpu) -> list[Gpu]:
        """Return the cards that share this one's limit."""
        if self._nvenc_limit or not is_capped(gpu):
            return [gpu]
        return [card for card in self.inventory.all_gpus if is_capped(card)]


def open_pools(settings: Settings) -> Pools:
    """Open the pools in the configured slot directory.

    Raises:
        StartError: the slot directory can't be made, or isn't safely this user's.
    """
    slot_dir, runtime = settings.nvenc.slot_dir, settings.paths.runtime

    def locate() -> Path:
        folder = slot_dir or runtime_dir(runtime) / "slots"
        return private_folder(folder, setting="METABONK_NVENC_SLOT_DIR")

    return Pools(
        locate(),
        nvenc_limit=settings.nvenc.max_sessions,
        cpu_limit=settings.cpu.effective_max_sessions,
        nvml=Nvml(hidden=gpus_are_hidden()),
        usable=lambda inventory: select_gpus(
            inventory, visible=visible_devices(), selected=settings.gpus, query_cuda=query_uuids
        ),
        locate=locate,
        places=[slot_dir] if slot_dir else [place / "slots" for place in runtime_places(runtime)],
    )


def _key(cards: Sequence[Gpu]) -> str:
    return "+".join(sorted(card.uuid for card in cards))
