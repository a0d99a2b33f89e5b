"""Which GPUs are used, in which order: examples, without a driver."""

from collections.abc import Sequence

import pytest

from metabonk.encoding.sessions.cuda_uuids import CudaQueryError
from metabonk.encoding.sessions.gpu_selection import gpu_of_worker, narrowed
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory

GPUS = tuple(
    Gpu(index, f"GPU-{uuid}", "NVIDIA", 5, "590.44", alone=False)
    for index, uuid in enumerate(["aa11", "aa22", "bb33"])
)
MACHINE = GpuInventory(GPUS)


def not_asked() -> Sequence[str]:
    pytest.fail("CUDA was asked")


def narrow(
    visible: str | None, chosen: Sequence[int] | None = None, cuda: Sequence[str] | None = None
) -> GpuInventory:
    ask = not_asked if cuda is None else lambda: cuda
    return narrowed(MACHINE, visible=visible, chosen=chosen, ask_cuda=ask)


def indices(gpus: Sequence[Gpu]) -> list[int]:
    return [gpu.index for gpu in gpus]


@pytest.mark.parametrize(
    ("visible", "chosen", "used"),
    [
        (None, None, [0, 1, 2]),
        (None, [2, 0], [2, 0]),
        ("GPU-bb33", None, [2]),
        ("GPU-bb33,GPU-aa11", None, [2, 0]),
        ("GPU-bb33, GPU-aa11", [0], [0]),
        ("GPU-bb,GPU-aa", None, [2]),  # Short is enough, and two that begin alike are not meant.
        ("GPU-aa11,GPU-none,GPU-bb33", None, [0]),
        ("GPU-aa11,GPU-aa11,GPU-bb33", None, [0]),
        ("GPU-aa11,,GPU-bb33", None, [0]),
    ],
)
def test_uuids_mean_the_same_to_everybody(
    visible: str | None, chosen: Sequence[int] | None, used: list[int]
):
    census = narrow(visible, chosen)
    assert indices(census.gpus) == used
    assert indices(census.machine) == [0, 1, 2]
    assert sorted(indices(census.gpus) + indices(census.others)) == [0, 1, 2]


def test_numbers_are_cudas_and_only_it_knows_their_order():
    census = narrow("1,0", cuda=["GPU-bb33", "GPU-aa11"])
    assert [(gpu.index, gpu.ordinal) for gpu in census.gpus] == [(2, 0), (0, 1)]
    assert indices(narrow("1,0", [0], cuda=["GPU-bb33", "GPU-aa11"]).gpus) == [0]
    assert indices(narrow("0", cuda=["GPU-of-another-kind"]).gpus) == []


@pytest.mark.parametrize(
    ("visible", "chosen", "why"),
    [
        ("", None, "every GPU is hidden by CUDA_VISIBLE_DEVICES="),
        ("-1", None, "every GPU is hidden by CUDA_VISIBLE_DEVICES=-1"),
        ("GPU-none", None, "every GPU is hidden by CUDA_VISIBLE_DEVICES=GPU-none"),
        ("GPU-bb33", [0, 1], "METABONK_GPUS names no GPU that is there: 2 are"),
    ],
)
def test_where_none_is_left_it_is_said_by_what(
    visible: str, chosen: Sequence[int] | None, why: str
):
    census = narrow(visible, chosen)
    assert census.gpus == ()
    assert census.unavailable is not None and census.unavailable.startswith(why)


def test_a_driver_that_does_not_answer_leaves_none_and_says_why():
    def silent() -> Sequence[str]:
        raise CudaQueryError("CUDA shows no GPU: cuInit returned 999")

    census = narrowed(MACHINE, visible="0", chosen=None, ask_cuda=silent)
    assert (census.gpus, census.unavailable) == ((), "CUDA shows no GPU: cuInit returned 999")
    assert indices(census.machine) == [0, 1, 2]


def test_a_machine_without_a_gpu_stays_as_it_is():
    nothing = GpuInventory(unavailable="no NVIDIA driver on this machine")
    assert narrowed(nothing, visible="0", chosen=[1], ask_cuda=not_asked) == nothing


def test_workers_go_round_the_gpus():
    used = narrow(None, [2, 0]).gpus
    given = [gpu_of_worker(worker, used) for worker in range(5)]
    assert [gpu.index for gpu in given if gpu] == [2, 0, 2, 0, 2]
    assert gpu_of_worker(3, ()) is None


def test_a_child_is_shown_one_gpu_where_there_are_several():
    assert GPUS[1].environment == {"CUDA_VISIBLE_DEVICES": "GPU-aa22"}
    assert Gpu(0, "GPU-aa11", "NVIDIA", 5, "590.44").environment == {}
