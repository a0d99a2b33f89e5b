"""Which pool a GPU's sessions come from, and what its limit is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from metabonk.encoding.sessions import Lease, Pools, open_pools
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory, Nvml
from metabonk.settings import Settings

CARD = Gpu(0, "GPU-0", "NVIDIA GeForce RTX 4070", pynvml.NVML_BRAND_GEFORCE, "550.54")
CARDS = (CARD, replace(CARD, index=1, uuid="GPU-1"))
H200 = Gpu(2, "GPU-2", "NVIDIA H200", pynvml.NVML_BRAND_NVIDIA, "550.54")


class Machine(Nvml):
    def __init__(self, *gpus: Gpu) -> None:
        self.gpus = gpus

    def census(self) -> GpuInventory:
        return GpuInventory(self.gpus)


def pools(folder: Path, *gpus: Gpu, limit: int = 0) -> Pools:
    return Pools(folder, nvenc_limit=limit, cpu_limit=1, nvml=Machine(*gpus))


def names(made: Pools) -> list[str]:
    return [pool.name for pool in made.all()]


def test_a_limit_found_by_us_is_shared_by_all_capped_cards_as_nvidia_counts(tmp_path: Path):
    made = pools(tmp_path, *CARDS, H200)
    assert names(made) == ["nvenc", "nvenc-gpu2", "cpu"]
    assert [made.limit(gpu).sessions for gpu in CARDS] == [8, 8]
    assert isinstance(made.nvenc(0).take(worker="w", purpose="p"), Lease)  # type: ignore[union-attr]
    assert made.nvenc(1).usage().used == 1  # type: ignore[union-attr]


def test_a_limit_of_the_users_holds_for_each_gpu(tmp_path: Path):
    made = pools(tmp_path, *CARDS, limit=2)
    assert names(made) == ["nvenc-gpu0", "nvenc-gpu1", "cpu"]
    assert [made.limit(gpu).sessions for gpu in CARDS] == [2, 2]


@pytest.mark.parametrize("limit", [0, 2])
def test_a_card_that_has_no_encoder_has_no_sessions_and_the_others_keep_theirs(
    tmp_path: Path, limit: int
):
    made = pools(tmp_path, *CARDS, H200, limit=limit)
    before = made.limit(CARD).sessions
    for lacking in (2, 1):
        made.learn_that_there_is_no_encoder(lacking)
    again = pools(tmp_path, *CARDS, H200, limit=limit)
    assert [again.limit(gpu).sessions for gpu in (*CARDS, H200)] == [before, 0, 0]
    assert "has no encoder" in again.limit(H200).because
    refusal = again.nvenc(1).take(worker="w", purpose="p")  # type: ignore[union-attr]
    assert not isinstance(refusal, Lease)
    assert isinstance(again.nvenc(0).take(worker="w", purpose="p"), Lease)  # type: ignore[union-attr]


def test_cards_that_this_process_may_not_use_still_share_the_limit_and_are_not_shown(
    tmp_path: Path,
):
    def second_only(census: GpuInventory) -> GpuInventory:
        return GpuInventory(gpus=census.gpus[1:2], others=(census.gpus[0], census.gpus[2]))

    made = Pools(
        tmp_path, nvenc_limit=0, cpu_limit=1, nvml=Machine(*CARDS, H200), usable=second_only
    )
    assert names(made) == ["nvenc", "cpu"]
    assert [(pool.name, gpus) for pool, gpus in made.shared()] == [("nvenc", [CARDS[1]])]
    whole = pools(tmp_path, *CARDS, H200)
    assert isinstance(whole.nvenc(0).take(worker="w", purpose="p"), Lease)  # type: ignore[union-attr]
    assert made.nvenc(1).usage().used == 1  # type: ignore[union-attr]


def test_what_several_processes_learn_of_their_gpus_at_the_same_moment_is_all_remembered(
    tmp_path: Path,
):
    cards = [replace(H200, index=index, uuid=f"GPU-{index}") for index in range(6)]

    def learn(index: int) -> None:
        own = pools(tmp_path, *cards)
        for _ in range(10):
            own.learn_that_there_is_no_encoder(index)

    with ThreadPoolExecutor(len(cards)) as pool:
        list(pool.map(learn, range(len(cards))))
    assert [pools(tmp_path, *cards).limit(card).sessions for card in cards] == [0] * len(cards)


def test_a_new_driver_may_know_better(tmp_path: Path):
    pools(tmp_path, H200).learn_that_there_is_no_encoder(2)
    newer = replace(H200, driver="600.1")
    assert pools(tmp_path, newer).limit(newer).sessions > 0


def test_without_a_gpu_there_is_the_processor(tmp_path: Path):
    settings = Settings.model_validate({"nvenc": {"slot_dir": tmp_path / "slots"}})
    made = open_pools(settings)
    assert made.nvenc(7) is None
    assert names(made)[-1] == "cpu"
    assert made.folder == tmp_path / "slots"
