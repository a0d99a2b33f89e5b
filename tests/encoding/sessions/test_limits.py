"""Session limits of a card: assumed, configured, learned."""

import logging
from pathlib import Path

import pynvml
import pytest

from metabonk.encoding.sessions.limits import (
    UNCAPPED,
    LearnedLimits,
    assumed_limit,
    effective_limit,
    is_capped,
)
from metabonk.encoding.sessions.nvml import Gpu


def gpu(
    driver: str = "550.54.14", brand: int = pynvml.NVML_BRAND_GEFORCE_RTX, name: str = ""
) -> Gpu:
    return Gpu(0, "GPU-0", name or "NVIDIA GeForce RTX 5090", brand, driver)


@pytest.mark.parametrize(
    ("driver", "cap"),
    [
        ("390.48", 2),
        ("460.66", 2),
        ("460.67", 3),
        ("530.30.02", 3),
        ("530.41.03", 5),
        ("545.29", 5),
        ("550.54.14", 8),
        ("580.159.04", 8),
        ("590.44.01", 12),
        ("rubbish", 2),
    ],
)
def test_consumer_cards_are_capped_by_their_driver_version(driver: str, cap: int):
    assert assumed_limit(gpu(driver)).sessions == cap
    assert driver in assumed_limit(gpu(driver)).reason


def test_professional_cards_have_no_cap():
    card = gpu(brand=pynvml.NVML_BRAND_NVIDIA_RTX, name="NVIDIA RTX 6000 Ada Generation")
    assert not is_capped(card)
    assert assumed_limit(card).sessions == UNCAPPED


@pytest.mark.parametrize("name", ["Quadro P400", "NVIDIA T400 4GB", "NVIDIA GeForce MX350"])
def test_low_end_cards_of_other_brands_are_capped_too(name: str):
    assert is_capped(gpu(brand=pynvml.NVML_BRAND_QUADRO, name=name))


def test_a_configured_limit_replaces_the_assumed_one():
    limit = effective_limit(gpu(), configured=2, learned=None)
    assert (limit.sessions, limit.reason) == (2, "METABONK_NVENC_MAX_SESSIONS")
    assert effective_limit(gpu(), configured=20, learned=None).sessions == 20


def test_a_learned_limit_only_ever_lowers_the_limit():
    assert effective_limit(gpu(), configured=0, learned=3).sessions == 3
    assert effective_limit(gpu(), configured=5, learned=3).sessions == 3
    assert effective_limit(gpu(), configured=2, learned=3).sessions == 2


def test_a_learned_limit_is_kept_on_disk_until_the_driver_changes(tmp_path: Path):
    file = tmp_path / "learned.json"
    LearnedLimits(file).learn("GPU-0", "550.54", 3)
    assert LearnedLimits(file).learned("GPU-0", "550.54") == 3
    assert LearnedLimits(file).learned("GPU-0", "560.28") is None
    assert LearnedLimits(file).learned("GPU-1", "550.54") is None


def test_a_corrupt_file_is_named_in_the_log_and_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "learned.json"
    file.write_text("{broken")
    with caplog.at_level(logging.WARNING):
        assert LearnedLimits(file).learned("GPU-0", "550.54") is None
        assert LearnedLimits(file).learned("GPU-0", "550.54") is None
    assert [str(file) in line for line in caplog.messages] == [True], "logged once"
    assert (tmp_path / "learned.json.damaged").read_text() == "{broken"
    LearnedLimits(file).learn("GPU-0", "550.54", 2)
    assert LearnedLimits(file).learned("GPU-0", "550.54") == 2
