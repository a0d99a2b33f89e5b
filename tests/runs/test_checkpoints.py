import logging
from pathlib import Path

import pytest

from metabonk.policy import ActorCritic, decode_weights, encode_weights
from metabonk.runs.checkpoints import best_weights, checkpoint_of_version, newest_weights
from metabonk.runs.layout import BEST_CHECKPOINT, CHECKPOINTS_DIR, checkpoint_files
from tests.support.specs import TINY
from tests.support.trained_runs import write_run

NETWORK = ActorCritic(TINY)
DAMAGED = encode_weights(NETWORK, 3)[:500]


def test_the_newest_readable_checkpoint_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert newest_weights(tmp_path) is None
    folder = tmp_path / CHECKPOINTS_DIR
    folder.mkdir()
    (folder / "000000000100-00000001.safetensors").write_bytes(encode_weights(NETWORK, 1))
    (folder / "000000000200-00000002.safetensors").write_bytes(encode_weights(NETWORK, 2))
    (folder / "000000000300-00000003.safetensors").write_bytes(DAMAGED)
    with caplog.at_level(logging.WARNING):
        weights = newest_weights(tmp_path)
    assert weights is not None
    assert decode_weights(weights).version == 2
    assert "000000000300" in caplog.text


def test_a_damaged_best_checkpoint_counts_as_none(tmp_path: Path):
    assert best_weights(tmp_path) is None
    (tmp_path / BEST_CHECKPOINT).write_bytes(DAMAGED)
    assert best_weights(tmp_path) is None
    (tmp_path / BEST_CHECKPOINT).write_bytes(encode_weights(NETWORK, 4))
    assert decode_weights(best_weights(tmp_path) or b"").version == 4


def test_the_checkpoint_of_a_version_is_found_among_all(tmp_path: Path):
    run_dir = write_run(tmp_path, "gym:CartPole-v1")
    (newest,) = checkpoint_files(run_dir)
    assert checkpoint_of_version(run_dir, 12) == newest
    assert checkpoint_of_version(run_dir, 11) is None
    best = newest.replace(run_dir / BEST_CHECKPOINT)
    assert checkpoint_of_version(run_dir, 12) == best
    best.write_bytes(DAMAGED)
    assert checkpoint_of_version(run_dir, 12) is None
