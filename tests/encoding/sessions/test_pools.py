"""Pools of GPUs and their limits."""

import fcntl
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from metabonk.encoding.sessions import Lease, Pools, open_pools
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory
from metabonk.settings import Settings
from tests.support.machines import FakeNvml, pools_of

CARD = Gpu(0, "GPU-0", "NVIDIA GeForce RTX 4070", pynvml.NVML_BRAND_GEFORCE, "550.54")
CARDS = (CARD, replace(CARD, index=1, uuid="GPU-1"))
H200 = Gpu(2, "GPU-2", "NVIDIA H200", pynvml.NVML_BRAND_NVIDIA, "550.54")


def names(made: Pools) -> list[str]:
    return [pool.name for pool in made.all()]


def test_an_automatic_limit_is_shared_by_all_capped_cards_as_nvidia_counts(tmp_path: Path):
    made = pools_of(tmp_path, *CARDS, H200)
    assert names(made) == ["nvenc", "nvenc-gpu2", "cpu"]
    assert [made.limit(gpu).sessions for gpu in CARDS] == [8, 8]
    assert isinstance(made.nvenc(0).take(worker="w", purpose="p"), Lease)  # type: ignore[union-attr]
    assert made.nvenc(1).usage().used == 1  # type: ignore[union-attr]


def test_a_configured_limit_applies_to_each_gpu(tmp_path: Path):
    made = pools_of(tmp_path, *CARDS, limit=2)
    assert names(made) == ["nvenc-gpu0", "nvenc-gpu1", "cpu"]
    assert [made.limit(gpu).sessions for gpu in CARDS] == [2, 2]


@pytest.mark.parametrize("limit", [0, 2])
def test_a_card_without_an_encoder_has_no_sessions_and_the_others_keep_theirs(
    tmp_path: Path, limit: int
):
    made = pools_of(tmp_path, *CARDS, H200, limit=limit)
    before = made.limit(CARD).sessions
    for lacking in (2, 1):
        made.mark_no_encoder(lacking)
    again = pools_of(tmp_path, *CARDS, H200, limit=limit)
    assert [again.limit(gpu).sessions for gpu in (*CARDS, H200)] == [before, 0, 0]
    assert "has no NVENC encoder" in again.limit(H200).reason
    refusal = again.nvenc(1).take(worker="w", purpose="p")  # type: ignore[union-attr]
    assert not isinstance(refusal, Lease)
    assert isinstance(again.nvenc(0).take(worker="w", purpose="p"), Lease)  # type: ignore[union-attr]


def test_cards_that_this_process_may_not_use_share_the_limit_but_are_not_listed(
    tmp_path: Path,
):
    def second_only(inventory: GpuInventory) -> GpuInventory:
        return GpuInventory(gpus=inventory.gpus[1:2], others=(inventory.gpus[0], inventory.gpus[2]))

    made = Pools(
        tmp_path, nvenc_limit=0, cpu_limit=1, nvml=FakeNvml(*CARDS, H200), usable=second_only
    )
    assert names(made) == ["nvenc", "cpu"]
    assert [(pool.name, gpus) for pool, gpus in made.nvenc_pools()] == [("nvenc", [CARDS[1]])]
    whole = pools_of(tmp_path, *CARDS, H200)
    assert isinstance(whole.nvenc(0).take(worker="w", purpose="p"), Lease)  # type: ignore[union-attr]
    assert made.nvenc(1).usage().used == 1  # type: ignore[union-attr]


def test_everything_that_processes_learn_at_the_same_moment_is_remembered(
    tmp_path: Path,
):
    cards = [replace(H200, index=index, uuid=f"GPU-{index}") for index in range(6)]

    def learn(index: int) -> None:
        own_pools = pools_of(tmp_path, *cards)
        for _ in range(10):
            own_pools.mark_no_encoder(index)

    with ThreadPoolExecutor(len(cards)) as pool:
        list(pool.map(learn, range(len(cards))))
    assert [pools_of(tmp_path, *cards).limit(card).sessions for card in cards] == [0] * len(cards)


def test_a_new_driver_starts_without_learned_limits(tmp_path: Path):
    pools_of(tmp_path, H200).mark_no_encoder(2)
    newer = replace(H200, driver="600.1")
    assert pools_of(tmp_path, newer).limit(newer).sessions > 0


def test_without_a_gpu_there_is_the_cpu_pool(tmp_path: Path):
    settings = Settings.model_validate({"nvenc": {"slot_dir": tmp_path / "slots"}})
    made = open_pools(settings)
    assert made.nvenc(7) is None
    assert names(made)[-1] == "cpu"
    assert made.folder == tmp_path / "slots"


def test_a_kept_slot_directory_is_not_cleaned_by_age_and_its_leases_are_restored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    settings = Settings.model_validate({"nvenc": {"slot_dir": tmp_path / "slots"}})
    made = open_pools(settings)
    lease = made.cpu.take(worker="w", purpose="p")
    assert isinstance(lease, Lease)
    for _ in range(2):
        made.keep()
        assert is_left_alone_by_tmpfiles(tmp_path / "slots")
        assert lease.holds(tmp_path / "slots" / "cpu" / f"slot-{lease.slot}.lock")
        shutil.rmtree(tmp_path / "slots")
    assert caplog.text.count("slot 0 is held anew") == 1


def test_keeping_leases_never_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    settings = Settings.model_validate({"nvenc": {"slot_dir": tmp_path / "slots"}})
    made = open_pools(settings)
    shutil.rmtree(tmp_path / "slots")
    (tmp_path / "slots").write_text("no folder")
    made.keep()
    assert "leases can't be kept" in caplog.text


def is_left_alone_by_tmpfiles(folder: Path) -> bool:
    # As dir_cleanup in systemd's src/tmpfiles/tmpfiles.c.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
