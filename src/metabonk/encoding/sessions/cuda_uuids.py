"""Prints the UUIDs of the GPUs that CUDA shows, in CUDA's order, a line each. Run as a child.

Only CUDA knows what a number in ``CUDA_VISIBLE_DEVICES`` means, as it counts the fastest card first
unless ``CUDA_DEVICE_ORDER`` says otherwise. It reads the variables once a process, so asking it in
this one would settle what it shows here. The file imports nothing of MetaBonk's: it runs by itself,
in some hundredths of a second on top of what the driver takes.
"""

import ctypes
import subprocess
import sys
import uuid
from pathlib import Path

TIMEOUT_S = 20.0
"""A driver that loads its module, or starts eight cards, takes seconds."""


class CudaQueryError(Exception):
    """CUDA doesn't say what it shows; says why."""


def ask() -> list[str]:
    """What the child prints.

    Raises:
        CudaSilent: it prints no list.
    """
    command = [sys.executable, "-I", str(Path(__file__).resolve())]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise CudaQueryError(f"CUDA did not answer for {TIMEOUT_S:.0f} s") from None
    if child.returncode:
        last = (child.stderr.strip().splitlines() or [f"it ended with {child.returncode}"])[-1]
        raise CudaQueryError(f"CUDA shows no GPU: {last}")
    return child.stdout.split()


def _uuids() -> list[str]:
    driver = ctypes.CDLL("libcuda.so.1")
    count, device, name = ctypes.c_int(), ctypes.c_int(), (ctypes.c_ubyte * 16)()
    _require(driver.cuInit(0), "cuInit")
    _require(driver.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    found = []
    for number in range(count.value):
        _require(driver.cuDeviceGet(ctypes.byref(device), number), "cuDeviceGet")
        _require(driver.cuDeviceGetUuid(name, device), "cuDeviceGetUuid")
        found.append(f"GPU-{uuid.UUID(bytes=bytes(name))}")
    return found


def _require(code: int, call: str) -> None:
    if code:
        sys.exit(f"{call} returned {code}")


def main() -> None:
    """The child."""
    try:
        uuids = _uuids()
    except OSError as error:
        sys.exit(str(error))
    sys.stdout.write("".join(f"{name}\n" for name in uuids))


if __name__ == "__main__":
    main()
