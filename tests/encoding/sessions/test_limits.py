"""Session limits of a card: assumed, configured, learned."""

import logging
import time
from pathlib import Path

import pynvml
import pytest

from metabonk.encoding.sessions.limits import (
    CLIMB_S,
    FIRST_TRIAL_S,
    MAX_TRIAL_S,
    MIN_FREE_MEMORY,
    UNCAPPED,
    LearnedLimit,
    LearnedLimits,
    assumed_limit,
    effective_limit,
    is_capped,
    memory_shortage,
)
from metabonk.encoding.sessions.nvml import Gpu
from tests.support.clock import Clock


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
    limit = effective_limit(gpu(), configured=2, learned=None, now=NOW)
    assert (limit.sessions, limit.reason) == (2, "METABONK_NVENC_MAX_SESSIONS")
    assert effective_limit(gpu(), configured=20, learned=None, now=NOW).sessions == 20


NOW = 1_800_000_000.0


def refused(limit: int, trial_s: float = FIRST_TRIAL_S) -> LearnedLimit:
    return LearnedLimit(driver="550.54", limit=limit, learned_at=NOW, trial_s=trial_s)


def sessions_after(passed_s: float, limit: int, configured: int = 0) -> int:
    return effective_limit(gpu(), configured, refused(limit), NOW + passed_s).sessions


def test_a_learned_limit_only_ever_lowers_the_limit():
    assert sessions_after(0, limit=3) == 3
    assert sessions_after(0, limit=3, configured=5) == 3
    assert sessions_after(0, limit=3, configured=2) == 2


def test_a_learned_limit_is_kept_for_a_while_and_then_climbs_back_to_the_assumed_one():
    assert sessions_after(FIRST_TRIAL_S - 1, limit=1) == 1
    assert sessions_after(FIRST_TRIAL_S, limit=1) == 2
    assert sessions_after(FIRST_TRIAL_S + CLIMB_S, limit=1) == 3
    assert sessions_after(FIRST_TRIAL_S + 100 * CLIMB_S, limit=1) == assumed_limit(gpu()).sessions


def test_a_clock_set_back_keeps_no_limit_for_longer():
    assert sessions_after(-3600, limit=1) == 2


def test_a_card_without_an_encoder_is_not_tried_again():
    assert sessions_after(1e9, limit=0) == 0


def test_the_reason_says_that_the_limit_is_learned_and_until_when():
    def clock(at: float) -> str:
        return time.strftime("%H:%M", time.localtime(at))

    kept = effective_limit(gpu(), 0, refused(2), NOW).reason
    assert kept == (
        f"the driver refused to open more than 2 at once, at {clock(NOW)}; "
        f"one more is tried at {clock(NOW + FIRST_TRIAL_S)}"
    )
    assert "3 are being tried" in effective_limit(gpu(), 0, refused(2), NOW + FIRST_TRIAL_S).reason


@pytest.mark.parametrize(
    ("code", "free", "counts"),
    [
        (21, 0, True),
        (21, None, True),
        (10, 8 << 30, True),
        (10, MIN_FREE_MEMORY - 1, False),
        (10, None, False),
    ],
)
def test_a_refusal_for_lack_of_memory_is_no_session_limit(
    code: int, free: int | None, counts: bool
):
    assert (memory_shortage(code, free) is None) == counts


def limit_of(file: Path, cards: str = "GPU-0", driver: str = "550.54") -> int | None:
    learned = LearnedLimits(file).learned(cards, driver)
    return learned.limit if learned else None


def test_a_learned_limit_is_kept_on_disk_until_the_driver_changes(tmp_path: Path):
    file = tmp_path / "learned.json"
    LearnedLimits(file).learn("GPU-0", "550.54", 3)
    assert limit_of(file) == 3
    assert limit_of(file, driver="560.28") is None
    assert limit_of(file, cards="GPU-1") is None


def test_a_limit_of_version_0_1_is_tried_again_at_once(tmp_path: Path):
    file = tmp_path / "learned.json"
    file.write_text('{"GPU-0": {"driver": "550.54.14", "limit": 1}}')
    learned = LearnedLimits(file).learned("GPU-0", "550.54.14")
    assert effective_limit(gpu(), 0, learned, NOW) == assumed_limit(gpu())


def test_each_trial_that_is_refused_doubles_the_time_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    limits, clock = LearnedLimits(tmp_path / "learned.json"), Clock()
    monkeypatch.setattr("metabonk.encoding.sessions.limits.time.time", clock)
    clock.now = NOW

    def learn(limit: int) -> float:
        limits.learn("GPU-0", "550.54", limit)
        learned = limits.learned("GPU-0", "550.54")
        assert learned is not None
        return learned.trial_s

    assert learn(2) == FIRST_TRIAL_S
    assert learn(2) == FIRST_TRIAL_S, "several workers may be refused at once"
    clock.now += FIRST_TRIAL_S
    assert learn(2) == 2 * FIRST_TRIAL_S
    for _ in range(10):
        clock.now += MAX_TRIAL_S
        longest = learn(2)
    assert longest == MAX_TRIAL_S
    clock.now += MAX_TRIAL_S
    assert learn(3) == FIRST_TRIAL_S, "another limit is another finding"


def test_a_limit_that_cannot_be_saved_is_known_to_its_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "file" / "learned.json"
    file.parent.write_text("no folder")
    limits = LearnedLimits(file)
    limits.learn("GPU-0", "550.54", 3)
    learned = limits.learned("GPU-0", "550.54")
    assert learned is not None and learned.limit == 3
    assert "known to this process only" in caplog.text


def test_a_corrupt_file_is_named_in_the_log_and_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "learned.json"
    file.write_text("{broken")
    with caplog.at_level(logging.WARNING):
        assert limit_of(file) is None
        assert limit_of(file) is None
    assert [str(file) in line for line in caplog.messages] == [True], "logged once"
    assert (tmp_path / "learned.json.damaged").read_text() == "{broken"
    LearnedLimits(file).learn("GPU-0", "550.54", 2)
    assert limit_of(file) == 2
