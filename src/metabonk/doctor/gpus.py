"""NVIDIA GPUs, their driver, and what a container was given of them.

NVML and a driver version are only hints. A rung's probe counts for more: if one works, nothing is
wrong.
"""

import ctypes
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from metabonk.doctor.host import Finding, in_container
from metabonk.encoding.ladder import RUNGS, PoolKind
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.settings.environment import gpus_are_hidden

DEVICE = Path("/dev/nvidiactl")
"""Exists once the kernel module is loaded, also in a container that was given a GPU."""

ENCODE_LIBRARY = "libnvidia-encode.so.1"
MIN_FFMPEG_DRIVER = 570
"""The FFmpeg in PyAV 18 is built against NVENC API 13.0; older drivers answer error 38."""

CARDS_WITHOUT_ENCODER = ("A100", "H100", "H200")
"""Cards with no encoder, which nothing can help (NVIDIA's support matrix; H200 measured)."""

CAPABILITIES = "NVIDIA_DRIVER_CAPABILITIES=compute,video,utility"
NVENC_RUNGS = tuple(rung for rung in RUNGS if rung.pool_kind is PoolKind.NVENC)


def gpu_findings(pools: Pools) -> Iterator[Finding]:
    """Report each GPU, or why there is none."""
    if not pools.inventory.gpus:
        yield Finding(f"no NVIDIA GPU available: {pools.inventory.unavailable}", absent=True)
    for gpu in pools.inventory.gpus:
        limit = pools.limit(gpu)
        piece = (
            f" (MIG slice {gpu.used_slice}, which shares its sessions)" if gpu.used_slice else ""
        )
        yield Finding(
            f"GPU {gpu.index}: {gpu.name}{piece}, driver {gpu.driver}, {gpu.session_count} encoder "
            f"sessions open, limit {limit.sessions} ({limit.reason})"
        )


def gpu_problems(pools: Pools, probes: ProbeCache) -> Iterator[Finding]:
    """Report what prevents the use of NVENC and can be fixed."""
    inventory = pools.inventory
    if inventory.unavailable and DEVICE.exists() and not gpus_are_hidden():
        action = (
            f"start the container with {CAPABILITIES}"
            if in_container()
            else "run nvidia-smi for details; after a driver update, reboot"
        )
        yield Finding(f"an NVIDIA GPU can't be queried: {inventory.unavailable}", action)
    for failed in inventory.failed:
        if not failed.is_forbidden:
            yield Finding(
                f"GPU {failed.index} can't be queried and is not used: {failed.reason}",
                "'dmesg | grep Xid' shows why; reset it with "
                f"'nvidia-smi --gpu-reset -i {failed.index}', or reboot",
            )
    for gpu in inventory.gpus:
        if problem := _problem(gpu, pools, probes):
            yield problem


def _problem(gpu: Gpu, pools: Pools, probes: ProbeCache) -> Finding | None:
    results = [result for rung in NVENC_RUNGS if (result := probes.cached(rung, gpu))]
    if any(result.works for result in results) or _has_no_encoder(gpu):
        return None
    card = f"GPU {gpu.index} ({gpu.name})"
    if not _has_encode_library():
        return Finding(
            f"{card} can't encode: {ENCODE_LIBRARY} is missing",
            f"start the container with {CAPABILITIES}"
            if in_container()
            else "install it from the driver's source (Debian: apt install libnvidia-encode1)",
        )
    if pools.no_nvenc_reason(gpu.index) is not None:
        if not in_container():
            return None  # The card has no encoder; 'nvenc status' reports that software is used.
        return Finding(
            f"{card} gives this container no encoder (unsupported device, code 2)",
            f"start the container with {CAPABILITIES}; if it already is, the card has no encoder",
        )
    major = gpu.driver.partition(".")[0]
    if major.isdigit() and int(major) < MIN_FFMPEG_DRIVER:
        return Finding(
            f"driver {gpu.driver} of {card} is too old for FFmpeg's NVENC, which needs "
            f"{MIN_FFMPEG_DRIVER} or newer",
            "update the driver, or add GStreamer (docs/encoding.md)",
        )
    return None


def _has_no_encoder(gpu: Gpu) -> bool:
    words = gpu.name.replace("-", " ").split()
    return any(card in words for card in CARDS_WITHOUT_ENCODER)


@cache
def _has_encode_library() -> bool:
    """Tell whether the library loads by the name that FFmpeg uses."""
    try:
        ctypes.CDLL(ENCODE_LIBRARY)
    except OSError:
        return False
    return True
