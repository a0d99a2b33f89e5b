"""Going back: a run that a later version of MetaBonk has written can be resumed and shown."""

import argparse
import json
import sqlite3
from pathlib import Path

import pytest
import safetensors
import safetensors.numpy

from metabonk.cli import start, start_options
from metabonk.errors import SettingsError
from metabonk.learner.checkpoint import restore_newest, save_checkpoint
from metabonk.learner.ppo import Learner
from metabonk.policy.serialization import CHECKSUM_KEY, HEADER_KEY
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.episodes import EpisodeStore
from metabonk.runs.layout import EPISODES_FILE, SETTINGS_FILE, game_of, save_settings
from metabonk.settings import Settings
from metabonk.settings.learning import Learning
from tests.support.rollouts import make_rollout
from tests.support.specs import TINY
from tests.support.statuses import episode

LATER_COLUMNS = """
ALTER TABLE run ADD COLUMN machine TEXT;
ALTER TABLE episodes ADD COLUMN seed INTEGER;
CREATE TABLE replays (episode INTEGER);
PRAGMA user_version = 9;
"""


def make_later(run_dir: Path) -> None:
    """Change a run's files as a later version may write them."""
    file = run_dir / SETTINGS_FILE
    values = json.loads(file.read_text())
    values["replays"] = {"keep_mb": 500}
    values["learning"]["planner"] = "mcts"
    values["learning"]["network"] = "transformer"
    values["stream"]["fps"] = 480
    file.write_text(json.dumps(values))
    with sqlite3.connect(run_dir / EPISODES_FILE) as database:
        database.executescript(LATER_COLUMNS)
    database.close()
    (checkpoint,) = (run_dir / "checkpoints").iterdir()
    arrays = safetensors.numpy.load_file(checkpoint)
    with safetensors.safe_open(checkpoint, framework="numpy") as opened:
        header = json.loads(opened.metadata()[HEADER_KEY])
    header |= {"machine": "later", "counters": header["counters"] | {"plans": 3}}
    metadata = {HEADER_KEY: json.dumps(header)}
    assert CHECKSUM_KEY not in metadata, "that of the changed header is not needed"
    checkpoint.write_bytes(safetensors.numpy.save(arrays, metadata=metadata))


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run_dir = tmp_path / "runs" / "later"
    (run_dir / "checkpoints").mkdir(parents=True)
    save_settings(Settings(game=TINY.game), run_dir)
    store = EpisodeStore(run_dir, TINY.game)
    store.record([episode(1, reward=1.0)])
    store.close()
    learner = make_learner()
    learner.update([make_rollout(16)])
    save_checkpoint(learner, run_dir)
    make_later(run_dir)
    return run_dir


def make_learner() -> Learner:
    return Learner(TINY, Learning(batch_size=32, epochs=1, num_minibatches=1))


def test_a_run_of_a_later_version_resumes_with_the_settings_given_now(run_dir: Path):
    parser = argparse.ArgumentParser()
    start_options.add_arguments(parser)
    settings, resumed, _ = start._settings(parser.parse_args(["--resume", "later"]))
    assert resumed is not None and resumed.name == "later"
    assert settings == Settings(game=TINY.game)
    save_settings(settings, resumed)
    store = EpisodeStore(run_dir, settings.game)
    store.record([episode(2, reward=5.0)])
    assert (store.episodes, store.problems()) == (2, [])
    store.close()
    learner = make_learner()
    assert restore_newest(learner, run_dir) is not None
    assert learner.counters.version == 1


def test_a_run_of_a_later_version_is_listed(run_dir: Path):
    (summary,) = RunCatalog(run_dir.parent).summaries()
    assert (summary.run, summary.game, summary.episodes) == ("later", TINY.game, 1)


def test_settings_of_a_run_without_a_usable_game_are_an_error(run_dir: Path):
    (run_dir / SETTINGS_FILE).write_text('{"game": ["doom"]}')
    with pytest.raises(SettingsError, match=r"settings\.json: game is \['doom'\], but must be"):
        game_of(run_dir)
