"""Trainings and the hub that shows them, in a place of their own, examined from outside."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from metabonk.broadcast.meeting import page_address
from metabonk.messages.fleet import Fleet
from metabonk.messages.workers import WorkerStatus
from metabonk.orchestrator.guests.election import Election, ElectionRecord
from metabonk.orchestrator.lock import lock_files, read_record
from metabonk.system import shared_memory
from tests.support import http
from tests.support.machine_speed import SLOWNESS
from tests.support.processes import kill, kill_tree
from tests.support.serving import free_ports
from tests.support.waiting import until

IDLE_S = 2.0 * SLOWNESS
STEP_S = 0.005

TRAINING = """
import sys, time
import gymnasium
import metabonk

count, seconds = int(sys.argv[1]), float(sys.argv[2])
envs = [metabonk.Broadcast(gymnasium.make(sys.argv[3])) for _ in range(count)]
for env in envs:
    env.action_space.seed(1)
    env.reset(seed=1)
print("reset", flush=True)
steps, began = 0, time.monotonic()
while time.monotonic() < began + seconds:
    for env in envs:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    steps += 1
    time.sleep({step_s})
print(steps, flush=True)
"""


@dataclass
class Place:
    """A user's folders and ports, where nothing else runs.

    Attributes:
        folder: of trainings.
        runtime: of rings and locks, in shared memory.
        environment: variables of all processes.
        page: address of the page.
        orchestrator: address.
    """

    folder: Path
    runtime: Path
    environment: dict[str, str]
    page: str
    orchestrator: str
    trainings: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def rings(self) -> Path:
        """Folder of the rings."""
        return self.runtime / "rings"

    def train(
        self, count: int = 1, seconds: float = 120.0, game: str = "CartPole-v1"
    ) -> "subprocess.Popen[str]":
        """Start a training, as a script that a user wrote."""
        script = self.folder / "train.py"
        script.write_text(TRAINING.replace("{step_s}", str(STEP_S)))
        process = subprocess.Popen(
            [sys.executable, str(script), str(count), str(seconds), game],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.trainings.append(process)
        return process

    def command(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command of MetaBonk."""
        return subprocess.Popen(
            [sys.executable, "-m", "metabonk.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def fleet(self) -> Fleet:
        """Return what the page shows first."""
        answer = http.get(f"{self.orchestrator}/api/fleet").raise_for_status()
        return Fleet.model_validate_json(answer.content)

    def guests(self) -> dict[str, WorkerStatus]:
        """Return the statuses of the guests."""
        workers = self.fleet().workers
        return {name: status for name, status in workers.items() if status.guest is not None}

    def holder(self) -> ElectionRecord | None:
        """Return the process that shows environments; None while it is starting, or there is none.

        Its folder is this process's own only for the call.
        """
        if page_address(self.rings) is None:
            return None
        before = os.environ.get("METABONK_PATHS_RUNTIME")
        os.environ["METABONK_PATHS_RUNTIME"] = str(self.runtime)
        try:
            return Election("hub").holder()
        finally:
            if before is None:
                del os.environ["METABONK_PATHS_RUNTIME"]
            else:
                os.environ["METABONK_PATHS_RUNTIME"] = before

    def processes(self) -> list[psutil.Process]:
        """Return all processes of this place but the trainings, zombies left out."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_own = process.environ().get("METABONK_PATHS_RUNTIME") == str(self.runtime)
                is_training = any(process.pid == each.pid for each in self.trainings)
                if is_own and not is_training and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def children(self) -> dict[str, psutil.Process]:
        """Return the hub's children by name, as its record has them."""
        records = [read_record(file) for file in lock_files(self.runtime)]
        return {
            name: psutil.Process(child.pid)
            for record in records
            if record is not None
            for name, child in record.children.items()
        }

    def files(self) -> list[str]:
        """Return the names of the files that are left beside the rings, and locks of hubs."""
        left = [file.name for file in self.rings.glob("*")] if self.rings.is_dir() else []
        return [*left, *(file.name for file in lock_files(self.runtime))]


@contextlib.contextmanager
def place(folder: Path, **variables: str) -> Iterator[Place]:
    """Make a place for the block; whatever runs there afterwards is killed."""
    page, orchestrator, worker = free_ports(3, spare=80)
    runtime = Path(tempfile.mkdtemp(prefix="metabonk-test-", dir=shared_memory.PATH))
    (folder / "home").mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "HOME": str(folder / "home"),
        "METABONK_PATHS_RUNTIME": str(runtime),
        "METABONK_PORTS_PAGE": str(page),
        "METABONK_PORTS_ORCHESTRATOR": str(orchestrator),
        "METABONK_PORTS_WORKER": str(worker),
        "METABONK_HUB_IDLE_S": str(IDLE_S),
        "METABONK_STREAM_WIDTH": "256",
        "METABONK_STREAM_HEIGHT": "144",
        "METABONK_STREAM_FPS": "15",
        "METABONK_STREAM_ENGINE": "av",
        "METABONK_CPU_MAX_SESSIONS": "2",
        **variables,
    }
    for name in ("METABONK_HUB", "METABONK_BROADCAST", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        environment.pop(name, None)
    here = Place(
        folder,
        runtime,
        environment,
        f"http://127.0.0.1:{page}",
        f"http://127.0.0.1:{orchestrator}",
    )
    try:
        yield here
    finally:
        for training in here.trainings:
            kill_tree(training)
            training.communicate()
        until("all have ended", lambda: not _kill_all(here))
        shutil.rmtree(runtime, ignore_errors=True)


def _kill_all(here: Place) -> Sequence[psutil.Process]:
    left = here.processes()
    kill(left)
    return left


def interrupt(process: "subprocess.Popen[str]") -> str:
    """Press Ctrl-C; return what the process printed until its end."""
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20 * SLOWNESS)
    return output
