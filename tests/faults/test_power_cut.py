"""Files that a power cut interrupted at any step of writing can always be used."""

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metabonk.encoding.ladder import RUNGS
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions.limits import LearnedLimits
from metabonk.learner.checkpoint import best_return, restore_newest
from metabonk.learner.ppo import Learner
from metabonk.messages.workers import EpisodeReport
from metabonk.policy import decode_weights
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.checkpoints import best_weights
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import EPISODES_FILE
from metabonk.settings import read_settings
from metabonk.settings.learning import Learning
from tests.support.power_cut import WRITERS, Step, outcomes
from tests.support.specs import TINY

pytestmark = pytest.mark.timeout(300)


def _restored(folder: Path) -> int:
    learner = Learner(TINY, Learning())
    assert restore_newest(learner, folder) is not None
    return learner.counters.version


def _best(folder: Path) -> int:
    data, mean = best_weights(folder), best_return(folder)
    assert data is not None and mean is not None
    assert decode_weights(data).version == mean + 1
    return int(mean) + 1


def _probed(folder: Path) -> int:
    return sum(ProbeCache(folder).cached(rung, None) is not None for rung in RUNGS)


def _learned(folder: Path) -> int:
    learned = LearnedLimits(folder / "learned-limits.json").learned("GPU-0", "550.54")
    return {3: 1, 2: 2}[learned.limit if learned else 0]


READERS: dict[str, Callable[[Path], int]] = {
    "checkpoint": _restored,
    "best": _best,
    "settings": lambda folder: read_settings(folder / "settings.json").workers,
    "probes": _probed,
    "limits": _learned,
}
"""Readers that return which of the two versions, 1 or 2, they found."""


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return folders for each file and step, as the killed process left them, and as before."""
    folder = tmp_path_factory.mktemp("cut")
    command = [sys.executable, "-m", "tests.support.power_cut", str(folder)]
    # A forked process can't use CUDA.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, timeout=280, env=environment)
    return folder


@pytest.mark.parametrize("what", list(WRITERS))
def test_a_power_cut_leaves_the_old_or_the_new_file(what: str, cut: Path, tmp_path: Path):
    chance = random.Random(8)
    for step in Step:
        before = _contents(cut / what / f"{step}-before")
        after = _contents(cut / what / step)
        for number, outcome in enumerate(outcomes(step, before, after, chance)):
            folder = tmp_path / f"{step}-{number}"
            _lay_out(folder, outcome)
            which = READERS[what](folder)
            assert which in ((2,) if step is Step.DONE else (1, 2)), (step, list(outcome))


def _lay_out(folder: Path, files: dict[Path, bytes]) -> None:
    folder.mkdir()
    for file, data in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)


def _contents(folder: Path) -> dict[Path, bytes]:
    return {
        file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


LOG = Path(f"{EPISODES_FILE}-wal")


@pytest.fixture
def killed(tmp_path: Path) -> dict[Path, bytes]:
    """Return the database of a killed process, with all of its hundred episodes in the WAL."""
    (tmp_path / "killed").mkdir()
    store = EpisodeStore(tmp_path / "killed", "doom:basic")
    for number in range(1, 101):
        store.record([_episode(number)])
    # Without the index of the WAL, which is shared memory.
    files = {f: d for f, d in _contents(tmp_path / "killed").items() if not f.match("*-shm")}
    store.close()
    return files


def test_a_power_cut_costs_only_the_last_episodes(killed: dict[Path, bytes], tmp_path: Path):
    """SQLite syncs its WAL now and then; of the rest, any part may have been written."""
    chance, whole = random.Random(8), len(killed[LOG])
    kept = []
    for size in sorted([0, *(chance.randrange(whole) for _ in range(20)), whole]):
        kept.append(_opened(tmp_path / str(size), {**killed, LOG: killed[LOG][:size]}))
    assert kept == sorted(kept) and kept[-1] == 100


def test_a_wal_with_a_hole_is_used_up_to_it(killed: dict[Path, bytes], tmp_path: Path):
    torn = bytearray(killed[LOG])
    middle = len(torn) // 2
    torn[middle : middle + 4096] = bytes(4096)
    assert 0 < _opened(tmp_path / "torn", {**killed, LOG: bytes(torn)}) < 100


def _opened(run_dir: Path, files: dict[Path, bytes]) -> int:
    """Return the number of episodes; check that they are the first, and that one can be added."""
    _lay_out(run_dir, files)
    store = EpisodeStore(run_dir, "doom:basic")
    newest_first = RunCatalog(run_dir.parent, store).episodes(store.run, 1000)
    numbers = [episode.episode for episode in reversed(newest_first)]
    assert numbers == list(range(1, len(numbers) + 1))
    store.record([_episode(len(numbers) + 1)])
    assert store.episodes == len(numbers) + 1
    store.close()
    with contextlib.closing(sqlite3.connect(run_dir / EPISODES_FILE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return len(numbers)


def _episode(number: int) -> EpisodeReport:
    return EpisodeReport(
        worker_index=0,
        episode=number,
        total_reward=1.0,
        length=10,
        step=10 * number,
        policy_version=1,
        ended_at=1000.0 + number,
    )
