"""A full disk: training continues, the page says so, and nothing saved is lost.

There are two ways. ``limited``: the kernel refuses every further byte of a file (RLIMIT_FSIZE),
which any user may impose on their own processes. ``full``: runs and logs are on a full disk of
640 MB, which needs root to mount it.
"""

import contextlib
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from metabonk.learner.checkpoint import CheckpointHeader
from metabonk.messages.learner import LearnerStatus
from metabonk.policy.serialization import unpack
from metabonk.policy.weights import decode_weights
from metabonk.runs.layout import checkpoint_files
from tests.support import http
from tests.support.census import members
from tests.support.fleet import FleetUnderTest, run_fleet
from tests.support.small_disk import small_disk
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(480)

DISK_MB = 640
WORKERS = 2
ENVIRONMENT = {
    "METABONK_STREAM_ENABLED": "false",
    "METABONK_WORKER_GAMES_PER_WORKER": "1",
    "METABONK_LEARNING_BATCH_SIZE": "128",
    "METABONK_LEARNING_EPOCHS": "1",
    "METABONK_LEARNING_CHECKPOINT_INTERVAL_S": "1",
}


@dataclass(frozen=True, slots=True)
class Writer:
    """A fleet and the disk that it writes to.

    Attributes:
        fleet: trains.
        disk: mount point, or a folder.
        mounted: the disk is a mount.
    """

    fleet: FleetUnderTest
    disk: Path
    mounted: bool

    @property
    def run_dir(self) -> Path:
        (run_dir,) = (self.disk / "runs").iterdir()
        return run_dir

    def learner(self) -> LearnerStatus:
        answer = http.get(f"{self.fleet.learner}/status").raise_for_status()
        return LearnerStatus.model_validate(answer.json())

    def problems(self) -> str:
        answer = http.get(f"{self.fleet.page}/api/fleet").raise_for_status().json()
        return "\n".join(problem["message"] for problem in answer["problems"])

    def steps(self) -> list[int]:
        return [status.step for status in self.fleet.statuses().values()]

    def saved(self) -> int:
        """Return the steps of the newest checkpoint, after decoding it."""
        newest = checkpoint_files(self.run_dir)[0]
        data = newest.read_bytes()
        decode_weights(data)
        _, header = unpack(data, CheckpointHeader)
        return header.counters["steps_trained"]


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    folder = tmp_path_factory.mktemp("disk")
    disk = folder / "disk"
    disk.mkdir()
    environment = ENVIRONMENT | {
        "METABONK_PATHS_RUNS": str(disk / "runs"),
        "METABONK_PATHS_LOGS": str(disk / "logs"),
    }
    with contextlib.ExitStack() as stack:
        mounted = stack.enter_context(small_disk(disk, DISK_MB))
        arguments = ("--workers", str(WORKERS), "--game", "doom:basic")
        fleet = stack.enter_context(run_fleet(folder, *arguments, environment=environment))
        writer = Writer(fleet, disk, mounted)
        until("both workers play", lambda: len(writer.steps()) == WORKERS, 120)
        until("something was learned", lambda: writer.learner().updates >= 2, 120)
        until("it is saved", lambda: checkpoint_files(writer.run_dir), 60)
        yield writer
        fleet.stop()
        assert "Traceback" not in fleet.output.read_text()
        assert "Logging error" not in fleet.output.read_text()


@contextlib.contextmanager
def limited(writer: Writer) -> Iterator[None]:
    found = members(writer.fleet)
    pids = [found[name][0].pid for name in ("orchestrator", "learner")]
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextlib.contextmanager
def full(writer: Writer) -> Iterator[None]:
    if not writer.mounted:
        pytest.skip("mounting a small disk needs root and the right to mount")
    ballast = writer.disk / "ballast"
    with ballast.open("wb", buffering=0) as stream:

        def is_full() -> bool:
            for block in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        stream.write(bytes(block))
            # What could not be written whole is deleted again meanwhile, and so is a checkpoint
            # that a whole newer one replaces.
            is_noticed = writer.learner().save_error is not None
            return is_noticed and shutil.disk_usage(writer.disk).free == 0

        until("the disk is full, and a checkpoint fails", is_full, 60)
    try:
        yield
    finally:
        ballast.unlink()


Fault = Callable[[Writer], contextlib.AbstractContextManager[None]]


@pytest.mark.parametrize("fault", [limited, full])
def test_training_continues_while_nothing_can_be_written(writer: Writer, fault: Fault):
    with fault(writer):
        saved = until("there is a checkpoint", writer.saved, 60)
        until(
            "a checkpoint fails, and that is shown",
            lambda: "can't write checkpoint" in writer.problems(),
            60,
        )
        until(
            "episodes fail, and that is shown",
            lambda: "can't write episodes" in writer.problems(),
            60,
        )
        if fault is full:
            until("it is said why", lambda: "only 0 MB free" in writer.problems(), 60)
        before, steps = writer.learner(), writer.steps()
        until("learning continues", lambda: writer.learner().updates >= before.updates + 3, 60)
        until(
            "play continues",
            lambda: all(now > then for now, then in zip(writer.steps(), steps, strict=True)),
            60,
        )
        assert writer.saved() >= saved, "the last good checkpoint is intact"
    until("a newer checkpoint is written", lambda: writer.saved() > before.steps_trained, 60)
    until("every problem is solved", lambda: not writer.problems(), 60)
    assert_no_episode_is_missing(writer)


def test_a_learner_killed_on_a_full_disk_resumes_from_the_last_good_checkpoint(writer: Writer):
    with full(writer):
        until("a checkpoint fails", lambda: writer.learner().save_error, 60)
        saved, first = writer.saved(), writer.learner()
        psutil.Process(first.pid).kill()
        again = until(
            "another learner", lambda: (s := writer.learner()) and s.pid != first.pid and s, 120
        )
        assert again.steps_trained >= saved
        until("it learns", lambda: writer.learner().updates > again.updates, 60)
    until("a checkpoint is written", lambda: writer.saved() > again.steps_trained, 60)


def assert_no_episode_is_missing(writer: Writer) -> None:
    """Check that each worker's episodes were written in order, numbered from 1."""
    address = f"{(writer.run_dir / 'metabonk.sqlite').as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        for index in range(WORKERS):
            query = "SELECT episode FROM episodes WHERE worker_index = ? ORDER BY id"
            numbers = [row[0] for row in database.execute(query, (index,))]
            assert numbers == list(range(1, len(numbers) + 1))
