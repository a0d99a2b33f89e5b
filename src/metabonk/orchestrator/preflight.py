"""Checks before anything is started."""

import errno
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from metabonk.desktop import catalog, retro
from metabonk.doctor.host import MIN_FREE_DISK, free_disk, megabytes
from metabonk.encoding.sessions import open_pools
from metabonk.encoding.sessions.nvml import GpuInventory
from metabonk.errors import SettingsError, StartError
from metabonk.messages.workers import Mode, instance_id
from metabonk.orchestrator.processes import go2rtc
from metabonk.settings import Settings
from metabonk.settings.air import KEY_HINT
from metabonk.settings.commands import add_extra, add_fleet, is_installed, missing_for_fleet
from metabonk.settings.public_url import url_host
from metabonk.settings.schema import LOOPBACK, LOOPBACK_HOSTS
from metabonk.system.ports import bind_error

TRACKERS = {"wandb_project": "wandb", "mlflow_experiment": "mlflow"}
"""Settings of ``[tracking]``, and the package and extra that each needs."""


class _Port(NamedTuple):
    owner: str
    setting: str
    host: str
    number: int


def check(settings: Settings) -> None:
    """Check packages, game, ports, the slot directory, the selected GPUs and free disk space.

    Raises:
        SettingsError: a tracker's package is missing.
        GameStartError: the definition of a desktop game can't be used, or lacks a program; or a
            console's game can't be opened.
        StartError: names the package, port, GPU or folder, and what to do.
        SlotFolderError: sessions can't be leased in the slot directory.
    """
    if problem := missing_for_fleet():
        raise StartError(f"{problem}: run {add_fleet()}")
    _check_trackers(settings)
    _check_air(settings)
    if catalog.is_desktop(settings.game):
        catalog.require(catalog.load(settings.game))
    if retro.is_retro(settings.game):
        catalog.require(retro.load(settings.game))
    owners: dict[int, str] = {}
    for port in _ports(settings):
        if port.number in owners:
            raise StartError(
                f"{owners[port.number]} and {port.owner} would both listen on port {port.number}; "
                f"change [ports] {port.setting} in metabonk.toml"
            )
        owners[port.number] = port.owner
    for port in _ports(settings):
        _check_free(port)
    pools = open_pools(settings)
    pools.cpu.usage()
    _check_gpus(settings, pools.inventory)
    for folder in (settings.paths.runs, settings.paths.logs):
        _check_disk(folder)


def _check_air(settings: Settings) -> None:
    """Check that the address to go on air to is no secret.

    Raises:
        SettingsError: it seems to end with a key.
    """
    if settings.air.has_bare_key:
        raise SettingsError(
            f"air.to must end with the application, as in rtmp://host/app: {KEY_HINT}"
        )


def check_hub(settings: Settings) -> None:
    """Check the ports, the slot directory, and the selected GPUs for a hub.

    Raises:
        SettingsError: the address to go on air to seems to end with a key.
        StartError: names the port, GPU or folder, and what to do.
        SlotFolderError: sessions can't be leased in the slot directory.
    """
    _check_air(settings)
    for port in _own_ports(settings):
        _check_free(port)
    pools = open_pools(settings)
    pools.cpu.usage()
    _check_gpus(settings, pools.inventory)


def _check_trackers(settings: Settings) -> None:
    if settings.mode is not Mode.TRAIN:
        return
    for setting, package in TRACKERS.items():
        value = getattr(settings.tracking, setting)
        if value and not is_installed(package):
            raise SettingsError(
                f"tracking.{setting} is {value!r}, but the package {package} is not installed: "
                f"run {add_extra(package)!r}, or remove the setting"
            )


def localhost_conflict(settings: Settings) -> str | None:
    """Return a warning where ``localhost`` may show another program's page instead of ours.

    The name stands for 127.0.0.1 and ::1, and browsers try one after the other.
    """
    if settings.host not in LOOPBACK_HOSTS:
        return None
    own, other = ("::1", LOOPBACK) if settings.host == "::1" else (LOOPBACK, "::1")
    error = bind_error(other, settings.ports.page)
    if error is None or error.errno != errno.EADDRINUSE:
        return None
    port = settings.ports.page
    return (
        f"another program listens on {url_host(other)}:{port}, and a browser may show that one "
        f"for http://localhost:{port}; open http://{url_host(own)}:{port}"
    )


def port_problems(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each port of the fleet that is in use."""
    for port in _ports(settings):
        try:
            _check_free(port)
        except StartError as error:
            yield str(error)


def _own_ports(settings: Settings) -> Iterator[_Port]:
    internal, ports = settings.internal_host, settings.ports
    yield _Port("the orchestrator", "orchestrator", internal, ports.orchestrator)
    yield _Port("the page", "page", settings.host, ports.page)


def _ports(settings: Settings) -> Iterator[_Port]:
    internal, ports = settings.internal_host, settings.ports
    yield from _own_ports(settings)
    if settings.mode is Mode.TRAIN:
        yield _Port("the learner", "learner", internal, ports.learner)
    if go2rtc.is_used(settings):
        yield _Port("go2rtc", "go2rtc", internal, ports.go2rtc)
        yield _Port("go2rtc's RTSP", "go2rtc_rtsp", internal, ports.go2rtc_rtsp)
        yield _Port("go2rtc's WebRTC", "go2rtc_media", internal, ports.go2rtc_media)
    for index in range(0 if settings.nodes.count else settings.workers):
        yield _Port(instance_id(index), "worker", internal, settings.worker_port(index))


def _check_gpus(settings: Settings, inventory: GpuInventory) -> None:
    selected = settings.gpus or ()
    usable = {gpu.index for gpu in inventory.gpus}
    missing = [index for index in selected if index not in usable]
    if not missing:
        return
    present = ", ".join(str(gpu.index) for gpu in inventory.all_gpus)
    hidden = [index for index in missing if index in inventory.by_index]
    failed = next((gpu for gpu in inventory.failed if gpu.index == missing[0]), None)
    reason = (
        failed.reason
        if failed
        else f"CUDA_VISIBLE_DEVICES hides {_listed(hidden)}"
        if hidden
        else f"this machine has {present}"
        if present
        else inventory.unavailable
    )
    raise StartError(
        f"METABONK_GPUS is {_listed(selected)}, but GPU {missing[0]} is not available: {reason}. "
        "Select other GPUs, or unset it to use all"
    )


def _listed(indices: Iterable[int]) -> str:
    return ",".join(map(str, indices))


def _check_free(port: _Port) -> None:
    variable = f"METABONK_PORTS_{port.setting.upper()}"
    error = bind_error(port.host, port.number)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        raise StartError(
            f"port {port.number}, which {port.owner} needs, is in use by another program; "
            f"'ss -ltnp | grep :{port.number}' shows which. Stop it, or set {variable} to "
            "another port"
        )
    raise StartError(
        f"{port.owner} can't listen on {port.host}:{port.number}: {error.strerror}; "
        f"set {variable} to another port"
    )


def _check_disk(folder: Path) -> None:
    free = free_disk(folder)
    if free < MIN_FREE_DISK:
        raise StartError(
            f"only {megabytes(free)} are free for {folder.absolute()}, but a run needs at least "
            f"{megabytes(MIN_FREE_DISK)}. Free some disk space, or set METABONK_PATHS_RUNS and "
            "METABONK_PATHS_LOGS to folders on another disk"
        )
