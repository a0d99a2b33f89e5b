"""UUIDs of the GPUs that CUDA shows, in CUDA's order, printed one per line by a child process.

Only CUDA knows what a number in ``CUDA_VISIBLE_DEVICES`` means: it counts the fastest card first
unless ``CUDA_DEVICE_ORDER`` says otherwise. It reads the variables once per process, so querying it
in this process would freeze them here. The file imports nothing from MetaBonk, so that running it
adds only hundredths of a second to what the driver takes.
"""

import ctypes
import subprocess
import sys
import uuid
from pathlib import Path

TIMEOUT_S = 20.0
"""A driver that loads its kernel module or initialises eight cards takes seconds."""


class CudaQueryError(Exception):
    """CUDA can't be queried for its devices."""


def query_uuids() -> list[str]:
    """Return the UUIDs of CUDA's devices, from a child process.

    Raises:
        CudaQueryError: the child failed or timed out.
    """
    command = [sys.executable, "-I", str(Path(__file__).resolve())]
    try:
        child = subprocess.run(
            command, capture_output=True, encoding="utf-8", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise CudaQueryError(f"CUDA did not answer within {TIMEOUT_S:.0f} s") from None
    if child.returncode:
        last = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
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
    """Print the UUIDs, in the child process."""
    try:
        uuids = _uuids()
    except OSError as error:
        sys.exit(str(error))
    sys.stdout.write("".join(f"{name}\n" for name in uuids))


if __name__ == "__main__":
    main()
