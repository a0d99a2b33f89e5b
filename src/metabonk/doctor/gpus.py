"""NVIDIA's GPUs, their driver, and what a container was given of them.

NVML and a driver's version only raise a suspicion. What a rung of the ladder was seen to do counts
for more: where one works, nothing is wrong.
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
"""There as soon as the kernel's part of the driver is, also in a container that got a GPU."""

ENCODE_LIBRARY = "libnvidia-encode.so.1"
OLDEST_DRIVER = 570
"""The FFmpeg in PyAV 18 is built against NVENC's API 13.0; an older driver answers error 38."""

WITHOUT_ENCODER = ("A100", "H100", "H200")
"""Cards with no encoder on them (NVIDIA's support matrix; H200 measured): nothing helps there."""

CAPABILITIES = "NVIDIA_DRIVER_CAPABILITIES=compute,video,utility"
NVENC = tuple(rung for rung in RUNGS if rung.pool_kind is PoolKind.NVENC)


def gpus(pools: Pools) -> Iterator[Finding]:
    """What there is: a line a GPU, or why there is none."""
    if not pools.census.gpus:
        yield Finding(f"no NVIDIA GPU to use: {pools.census.unavailable}", absent=True)
    for gpu in pools.census.gpus:
        limit = pools.limit(gpu)
        yield Finding(
            f"GPU {gpu.index}: {gpu.name}, driver {gpu.driver}, {gpu.session_count} encoder "
            f"sessions open, limit {limit.sessions} ({limit.because})"
        )


def gpu_problems(pools: Pools, proofs: ProbeCache) -> Iterator[Finding]:
    """What keeps NVENC from being used, and can be mended."""
    census = pools.census
    if census.unavailable and DEVICE.exists() and not gpus_are_hidden():
        do = (
            f"start it with {CAPABILITIES}"
            if in_container()
            else "'nvidia-smi' says more; after an update of the driver, reboot"
        )
        yield Finding(f"there is an NVIDIA GPU that can't be asked: {census.unavailable}", do)
    for gpu in census.gpus:
        if problem := _problem(gpu, pools, proofs):
            yield problem


def _problem(gpu: Gpu, pools: Pools, proofs: ProbeCache) -> Finding | None:
    tried = [proof for rung in NVENC if (proof := proofs.known(rung, gpu))]
    if any(proof.works for proof in tried) or _has_no_encoder(gpu):
        return None
    card = f"GPU {gpu.index} ({gpu.name})"
    if not _has_encode_library():
        return Finding(
            f"{card} can't encode: {ENCODE_LIBRARY} is missing",
            f"start the container with {CAPABILITIES}"
            if in_container()
            else "install it from where the driver came (Debian: apt install libnvidia-encode1)",
        )
    if pools.why_no_nvenc(gpu.index) is not None:
        if not in_container():
            return None  # The card has none; software is used, and 'nvenc status' says so.
        return Finding(
            f"{card} gives this container no encoder (unsupported device, code 2)",
            f"start it with {CAPABILITIES}; if it says so already, the card has none",
        )
    major = gpu.driver.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_DRIVER:
        return Finding(
            f"driver {gpu.driver} of {card} is too old for FFmpeg's NVENC, which needs "
            f"{OLDEST_DRIVER} or newer",
            "update the driver, or add GStreamer (docs/encoding.md)",
        )
    return None


def _has_no_encoder(gpu: Gpu) -> bool:
    words = gpu.name.replace("-", " ").split()
    return any(card in words for card in WITHOUT_ENCODER)


@cache
def _has_encode_library() -> bool:
    """As FFmpeg looks for it."""
    try:
        ctypes.CDLL(ENCODE_LIBRARY)
    except OSError:
        return False
    return True
