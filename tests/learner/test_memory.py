"""Whether a batch fits into memory."""

from pathlib import Path

import pytest

from metabonk.errors import SettingsError
from metabonk.learner.memory import available_bytes, check_memory, required_bytes
from metabonk.policy import ActorCritic
from metabonk.settings.schema import Learning
from tests.support.specs import NUMBERS, TINY


def test_it_takes_what_waits_a_batch_and_what_the_layers_make_of_a_part():
    learning = Learning(batch_size=100, num_minibatches=10)
    # 36×36 → 8×8, 3×3, 1×1, then 256; activations are made in place.
    made = 36 * 36 + 16 * 8 * 8 + 32 * 3 * 3 + 64 + 256
    expected = (300 + 100) * 36 * 36 + 10 * made * 2 * 4
    assert required_bytes(ActorCritic(TINY), learning, 300) == expected


def test_rows_of_numbers_take_four_bytes_each():
    learning = Learning(batch_size=100, num_minibatches=1)
    one = required_bytes(ActorCritic(NUMBERS), learning, 0)
    assert required_bytes(ActorCritic(NUMBERS), learning, 50) - one == 50 * 4 * 4


def test_a_larger_batch_and_fewer_parts_take_more():
    network = ActorCritic(TINY)
    small = required_bytes(network, Learning(batch_size=1000, num_minibatches=8), 0)
    assert required_bytes(network, Learning(batch_size=2000, num_minibatches=8), 0) > small
    assert required_bytes(network, Learning(batch_size=1000, num_minibatches=4), 0) > small


def test_what_does_not_fit_is_refused_with_the_settings_and_what_to_do():
    learning = Learning(batch_size=4096, num_minibatches=2)
    check_memory(5, 5, learning)
    with pytest.raises(
        SettingsError,
        match=r"batch_size = 4096 .*num_minibatches = 2 .* 9\.0 GB .* 2\.5 GB are free",
    ):
        check_memory(9_000_000_000, 2_500_000_000, learning)


def test_a_control_group_may_allow_less_than_the_machine_has(tmp_path: Path):
    machine = available_bytes(tmp_path)
    assert machine > 0
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("anon 2500\ninactive_file 400\n")
    assert available_bytes(tmp_path) == 5000 - 2600
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) > 5000
