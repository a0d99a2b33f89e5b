"""Builds the simulated driver, and controls it while programs use it."""

import atexit
import fcntl
import itertools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from tests.support.requirements import require

SOURCES = Path(__file__).parent
X264_HEADER = Path("/usr/include/x264.h")

LIBRARIES = {
    "cuda.c": ("libcuda.so.1", ()),
    "encode.c": ("libnvidia-encode.so.1", ("-lx264",)),
    "ml.c": ("libnvidia-ml.so.1", ()),
}

OUT_OF_MEMORY = 10
INCOMPATIBLE_CLIENT_KEY = 21
UNSUPPORTED_DEVICE = 2

GEFORCE = 5
QUADRO = 1
TESLA = 2


class Event(NamedTuple):
    """A line of the driver's log.

    Attributes:
        kind: ``opened``, ``refused``, ``closed``, ``uploaded`` or ``downloaded``.
        pid: of the process.
        gpu: index.
        detail: open sessions, the refusal's code, frames encoded, or bytes copied.
    """

    kind: str
    pid: int
    gpu: int
    detail: int


class SimulatedDriver:
    """The NVIDIA driver of one machine.

    Args:
        folder: empty; holds its state.
        settings: as for ``set``.
    """

    def __init__(self, folder: Path, **settings: int | str) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._libraries = build()
        self._settings: dict[str, int | str] = {}
        self.set(**settings)

    def set(self, **settings: int | str) -> None:
        """Change the driver's behaviour.

        Args:
            settings: ``gpus``, ``name``, ``brand`` (NVML's number), ``driver`` (its version);
                ``cap``: session limit, of all GPUs together or with ``per_gpu=1`` of each;
                ``refusal``: its code at the cap; ``open_code``: its code for every open, 0 for
                none; ``open_hangs=1``; ``encode_fails_after``, ``encode_hangs_after``,
                ``encode_crashes_after``: number of frames of a session, -1 for never;
                ``listed=0``: NVML counts sessions but lists none; ``host_pids``: offset of NVML's
                pids from ours, as in a container; ``memory_free``: MB, below 100 every open is
                refused with 10; ``nvml_lost=1``: NVML stops answering;
                ``fastest``: the GPU that CUDA counts first.
        """
        self._settings |= settings
        written = self._folder / "settings.new"
        written.write_text("".join(f"{key} {value}\n" for key, value in self._settings.items()))
        written.replace(self._folder / "settings")

    def set_gpu(self, gpu: int, **settings: int | str) -> None:
        """Change one GPU's behaviour.

        Args:
            gpu: index, as NVML counts.
            settings: ``name``, ``brand``, ``open_code`` or ``memory_free``, as for ``set``;
                ``lost=1``: NVML can't query it; ``mig``: number of its MIG slices.
        """
        self.set(**{f"{key}.{gpu}": value for key, value in settings.items()})

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which a process finds this driver."""
        return {"LD_LIBRARY_PATH": str(self._libraries), "NVSIM_DIR": str(self._folder)}

    @contextmanager
    def external_sessions(self, count: int, *, gpu: int = 0, pid: int = 1) -> Iterator[None]:
        """Hold ``count`` sessions open, as another program, for the duration of the block."""
        with ExitStack() as held:
            with self._critical_section():
                for number in itertools.count():
                    if count == 0:
                        break
                    file = held.enter_context((self._folder / f"session-{number}").open("a+"))
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    file.truncate(0)
                    file.write(f"{pid} {gpu} 1920 1080 60\n")
                    file.flush()
                    count -= 1
            yield

    def events(self, kind: str) -> list[Event]:
        """Return the logged events of one kind, oldest first."""
        try:
            lines = (self._folder / "events").read_text().splitlines()
        except FileNotFoundError:
            return []
        fields = (line.split() for line in lines if line.startswith(kind))
        return [Event(name, *map(int, numbers)) for name, *numbers in fields]

    def most_open(self) -> int:
        """Return the largest number of sessions ever open at once."""
        return max((event.detail for event in self.events("opened")), default=0)

    def open_now(self) -> int:
        """Return the number of open sessions, including external ones."""
        count = 0
        with self._critical_section():
            for file in self._folder.glob("session-*"):
                with file.open() as session:
                    try:
                        fcntl.flock(session, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        count += 1
        return count

    @contextmanager
    def _critical_section(self) -> Iterator[None]:
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@cache
def build() -> Path:
    """Compile the libraries, once per test run; skip the test if that isn't possible."""
    compiler = require(shutil.which("gcc"), "a C compiler", apt="gcc libc6-dev")
    require(X264_HEADER if X264_HEADER.exists() else None, "x264", apt="libx264-dev")
    folder = Path(mkdtemp(prefix="nvsim-"))
    atexit.register(shutil.rmtree, folder)
    options = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
    for source, (name, libraries) in LIBRARIES.items():
        command = (compiler, *options, "-fvisibility=hidden", f"-Wl,-soname,{name}")
        subprocess.run([*command, "-o", folder / name, SOURCES / source, *libraries], check=True)
    return folder
