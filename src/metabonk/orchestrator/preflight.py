"""What is checked before anything is started."""

import errno
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from metabonk.doctor.host import MIN_FREE_DISK, free_disk, megabytes
from metabonk.encoding.sessions import open_pools
from metabonk.encoding.sessions.nvml import GpuInventory
from metabonk.errors import StartError
from metabonk.messages import Mode
from metabonk.orchestrator import go2rtc
from metabonk.settings import Settings


def check(settings: Settings) -> None:
    """Ports free, a folder to lease encoder sessions in, the GPUs chosen, and disk to write on.

    Raises:
        StartError: says which port or folder, and what to do.
        SlotFolderError: sessions can't be leased there.
    """
    owners: dict[int, str] = {}
    for owner, setting, port in _ports(settings):
        if port in owners:
            raise StartError(
                f"{owners[port]} and {owner} would both listen on port {port}; "
                f"change [ports] {setting} in metabonk.toml"
            )
        owners[port] = owner
    for owner, setting, port in _ports(settings):
        host = settings.host if setting == "page" else settings.internal_host
        _require_free_port(host, port, owner, setting)
    pools = open_pools(settings)
    pools.cpu.usage()
    _require_gpus(settings, pools.inventory)
    for folder in (settings.paths.runs, settings.paths.logs):
        _require_space(folder)


def port_problems(settings: Settings) -> Iterator[str]:
    """Says of every port that a fleet needs, and that is taken, by what it is needed."""
    for owner, setting, port in _ports(settings):
        host = settings.host if setting == "page" else settings.internal_host
        try:
            _require_free_port(host, port, owner, setting)
        except StartError as error:
            yield str(error)


def _ports(settings: Settings) -> Iterator[tuple[str, str, int]]:
    yield "the orchestrator", "orchestrator", settings.ports.orchestrator
    yield "the page", "page", settings.ports.page
    if settings.mode is Mode.TRAIN:
        yield "the learner", "learner", settings.ports.learner
    if go2rtc.is_used(settings):
        yield "go2rtc", "go2rtc", settings.ports.go2rtc
        yield "go2rtc's WebRTC", "go2rtc_media", settings.ports.go2rtc_media
    for index in range(settings.workers):
        yield f"omega-{index}", "worker", settings.worker_port(index)


def _require_gpus(settings: Settings, inventory: GpuInventory) -> None:
    usable = {gpu.index for gpu in inventory.gpus}
    missing = [index for index in settings.gpus or () if index not in usable]
    if not missing:
        return
    there = ", ".join(str(gpu.index) for gpu in inventory.all_gpus)
    hidden = [index for index in missing if index in inventory.by_index]
    why = (
        f"CUDA_VISIBLE_DEVICES hides {_listed(hidden)}"
        if hidden
        else f"this machine has {there}"
        if there
        else inventory.unavailable
    )
    raise StartError(
        f"METABONK_GPUS is {_listed(settings.gpus or ())}, and there is no GPU {missing[0]} to "
        f"use: {why}. Name others, or unset it to use all that there are"
    )


def _listed(indices: Iterable[int]) -> str:
    return ",".join(map(str, indices))


def _require_free_port(host: str, port: int, owner: str, setting: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of an earlier fleet that fade away are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StartError(
                    f"port {port}, which {owner} needs, is in use by another program; "
                    f"'ss -ltnp | grep :{port}' shows which. Stop it, or set "
                    f"METABONK_PORTS_{setting.upper()} to another port"
                ) from None
            raise StartError(
                f"{owner} can't listen on {host}:{port}: {error.strerror}; "
                f"METABONK_PORTS_{setting.upper()} names another port"
            ) from None


def _require_space(folder: Path) -> None:
    free = free_disk(folder)
    if free < MIN_FREE_DISK:
        raise StartError(
            f"only {megabytes(free)} are free where {folder.absolute()} is, and a run needs at "
            f"least {megabytes(MIN_FREE_DISK)}. Free some disk, or set METABONK_PATHS_RUNS and "
            "METABONK_PATHS_LOGS to folders on another one"
        )
