"""Memory requirements of a batch."""

from pathlib import Path

import pytest

from metabonk.errors import SettingsError
from metabonk.learner.memory import available_bytes, check_memory, required_bytes
from metabonk.policy import ActorCritic
from metabonk.settings.learning import Learning
from tests.support.specs import TINY, VECTOR


def test_required_memory_covers_queue_batch_and_minibatch_activations():
    learning = Learning(batch_size=100, num_minibatches=10)
    # 36×36 → 8×8, 3×3, 1×1, then 256; activation functions work in place.
    activations = 36 * 36 + 16 * 8 * 8 + 32 * 3 * 3 + 64 + 256
    expected = (300 + 100) * 36 * 36 + 10 * activations * 2 * 4
    assert required_bytes(ActorCritic(TINY), learning, 300) == expected


def test_vector_observations_take_four_bytes_per_value():
    learning = Learning(batch_size=100, num_minibatches=1)
    without_queue = required_bytes(ActorCritic(VECTOR), learning, 0)
    assert required_bytes(ActorCritic(VECTOR), learning, 50) - without_queue == 50 * 4 * 4


def test_larger_batches_and_fewer_minibatches_need_more_memory():
    network = ActorCritic(TINY)
    small = required_bytes(network, Learning(batch_size=1000, num_minibatches=8), 0)
    assert required_bytes(network, Learning(batch_size=2000, num_minibatches=8), 0) > small
    assert required_bytes(network, Learning(batch_size=1000, num_minibatches=4), 0) > small


def test_a_batch_that_does_not_fit_is_rejected_with_settings_and_sizes():
    learning = Learning(batch_size=4096, num_minibatches=2)
    check_memory(5, 5, learning)
    with pytest.raises(
        SettingsError,
        match=r"batch_size = 4096 .*num_minibatches = 2 .* 9\.0 GB .* 2\.5 GB are free",
    ):
        check_memory(9_000_000_000, 2_500_000_000, learning)


def test_available_memory_respects_the_limit_of_a_control_group(tmp_path: Path):
    assert available_bytes(tmp_path) > 5000
    group = tmp_path / "sys" / "fs" / "cgroup"
    for folder in (group, tmp_path / "proc" / "self"):
        folder.mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/\n")
    (group / "memory.max").write_text("5000\n")
    (group / "memory.current").write_text("3000\n")
    assert available_bytes(tmp_path) == 2000
