"""Damaged files are refused by name or replaced, and never used in part."""

import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from metabonk.encoding.ladder import RUNGS, ProbeResult
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions.limits import LearnedLimits
from metabonk.errors import SettingsError, StartError
from metabonk.learner.checkpoint import restore_newest, save_best, save_checkpoint
from metabonk.learner.ppo import Learner
from metabonk.messages.workers import EpisodeReport
from metabonk.policy import decode_weights
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.checkpoints import best_weights, newest_weights
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import EPISODES_FILE
from metabonk.settings import Settings, load_settings, read_settings, write_settings
from metabonk.settings.learning import Learning
from tests.support.fleet import fleet_ports
from tests.support.rollouts import make_rollout
from tests.support.specs import TINY

pytestmark = pytest.mark.timeout(300)

SEED = 8


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with settings, episodes and checkpoints; tests repair what they damage."""
    # Threads that wait for each other are slow on a busy machine.
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("damaged") / "runs" / "a-run"
    folder.mkdir(parents=True)
    write_settings(Settings(game="doom:basic"), folder / "settings.json")
    store = EpisodeStore(folder, "doom:basic")
    store.record([_episode(number) for number in range(1, 2001)])
    store.close()
    learner = Learner(TINY, Learning(batch_size=32))
    for version in range(2):
        learner.update([make_rollout(32, version=version)])
        save_checkpoint(learner, folder)
    save_best(learner, folder, 1.0)
    return folder


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


class Damage:
    """Damages a file, and restores it at the end of the block."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.whole = file.read_bytes()

    def __enter__(self) -> "Damage":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.write_bytes(self.whole)

    def flip(self, chance: random.Random) -> None:
        """Flip a random bit."""
        data = bytearray(self.whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        self.file.write_bytes(data)

    def cut(self, chance: random.Random) -> None:
        """Truncate the file at a random place."""
        self.file.write_bytes(self.whole[: chance.randrange(len(self.whole))])

    def overwrite(self, chance: random.Random, size: int = 4096) -> None:
        """Overwrite a random block."""
        data = bytearray(self.whole)
        start = chance.randrange(len(data))
        data[start : start + size] = chance.randbytes(len(data[start : start + size]))
        self.file.write_bytes(data)


def test_a_damaged_checkpoint_is_named_and_the_previous_one_used(
    run_dir: Path, long: bool, caplog: pytest.LogCaptureFixture
):
    chance = random.Random(SEED)
    newest = max((run_dir / "checkpoints").glob("*.safetensors"))
    with Damage(newest) as damage, caplog.at_level(logging.WARNING):
        for number in range(400 if long else 24):
            (damage.flip, damage.cut, damage.overwrite)[number % 3](chance)
            caplog.clear()
            learner = Learner(TINY, Learning(batch_size=32))
            assert restore_newest(learner, run_dir) is not None
            assert learner.counters.version == 1, "the previous one"
            assert str(newest) in caplog.text
            caplog.clear()
            weights = newest_weights(run_dir)
            assert weights is not None and decode_weights(weights).version == 1
            assert str(newest) in caplog.text


def test_a_damaged_best_checkpoint_is_named_and_not_used(
    run_dir: Path, caplog: pytest.LogCaptureFixture
):
    best = run_dir / "best.safetensors"
    with Damage(best) as damage, caplog.at_level(logging.WARNING):
        damage.flip(random.Random(SEED))
        assert best_weights(run_dir) is None
        assert str(best) in caplog.text


def test_a_damaged_database_is_refused_by_name_or_usable(run_dir: Path, long: bool):
    chance = random.Random(SEED)
    refused = 0
    with Damage(run_dir / EPISODES_FILE) as damage:
        for number in range(200 if long else 40):
            (damage.overwrite, damage.cut)[number % 2](chance)
            try:
                store = EpisodeStore(run_dir, "doom:basic")
            except StartError as error:
                assert str(damage.file) in str(error)
                refused += 1
                continue
            store.record([_episode(3000)])
            assert len(RunCatalog(run_dir.parent, store).episodes(store.run, 10)) <= 10
            store.close()
            for beside in run_dir.glob(f"{EPISODES_FILE}-*"):
                beside.unlink()
    assert refused > 0


@pytest.mark.parametrize("damage", ["cut", "empty", "rubbish"])
def test_unreadable_settings_are_refused_by_name(run_dir: Path, damage: str):
    with Damage(run_dir / "settings.json") as settings:
        damaged = {"cut": settings.whole[:-5], "empty": b"", "rubbish": b"\xff\x00"}[damage]
        settings.file.write_bytes(damaged)
        with pytest.raises(SettingsError, match=r"settings\.json"):
            read_settings(settings.file)


@pytest.mark.parametrize("rubbish", [b"workers = ", b"\xff\xfe", b"workers = 2\nworkers = 3"])
def test_an_unreadable_metabonk_toml_is_refused_by_name(
    rubbish: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("metabonk.toml").write_bytes(rubbish)
    with pytest.raises(SettingsError, match=r"metabonk\.toml"):
        load_settings()


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b"\x00" * 4096, b'{"a": {"works": 7}}'])
def test_a_damaged_cache_of_encoders_is_moved_aside_and_rebuilt(
    rubbish: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for name, ask, learn in (
        (
            "probes.json",
            lambda: ProbeCache(tmp_path).cached(RUNGS[-1], None),
            lambda: ProbeCache(tmp_path).store(
                RUNGS[-1], None, ProbeResult(works=True), quarantined=False
            ),
        ),
        (
            "learned-limits.json",
            lambda: LearnedLimits(tmp_path / "learned-limits.json").learned("GPU-0", "550"),
            lambda: LearnedLimits(tmp_path / "learned-limits.json").learn("GPU-0", "550", 2),
        ),
    ):
        (tmp_path / name).write_bytes(rubbish)
        with caplog.at_level(logging.WARNING):
            assert ask() is None
        assert str(tmp_path / name) in caplog.text
        assert (tmp_path / f"{name}.damaged").read_bytes() == rubbish
        learn()
        assert ask() is not None


@pytest.mark.parametrize("name", ["settings.json", EPISODES_FILE, "metabonk.toml"])
def test_a_start_with_a_damaged_file_names_it_and_leaves_nothing_running(run_dir: Path, name: str):
    folder = run_dir.parents[1]
    file = folder / name if name == "metabonk.toml" else run_dir / name
    if name == "metabonk.toml":
        file.write_text("")
    ports = dict(zip(("ORCHESTRATOR", "PAGE", "LEARNER", "WORKER"), fleet_ports(), strict=True))
    with Damage(file):
        file.write_bytes(b"\xff rubbish" * 1000)
        started = subprocess.run(
            [sys.executable, "-m", "metabonk.cli.main", "start", "--resume", "a-run"],
            cwd=folder,
            env={
                **os.environ,
                **{f"METABONK_PORTS_{name}": str(port) for name, port in ports.items()},
                "METABONK_PATHS_RUNTIME": str(folder / "runtime"),
            },
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    output = started.stdout + started.stderr
    assert started.returncode != 0
    assert name in output
    assert "Traceback" not in output
    assert not list((folder / "runtime").glob("fleet-*.lock"))
