"""Selection and order of GPUs, by example, without a driver."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.cuda_uuids import CudaQueryError
from metabonk.encoding.sessions.gpu_selection import gpu_of_worker, select_gpus
from metabonk.encoding.sessions.nvml import FailedGpu, Gpu, GpuInventory
from tests.support.machines import FakeNvml

GPUS = tuple(
    Gpu(index, f"GPU-{uuid}", "NVIDIA", 5, "590.44", is_only_gpu=False)
    for index, uuid in enumerate(["aa11", "aa22", "bb33"])
)
MACHINE = GpuInventory(GPUS)


def must_not_query() -> Sequence[str]:
    pytest.fail("CUDA was queried")


def select(
    visible: str | None, selected: Sequence[int] | None = None, cuda: Sequence[str] | None = None
) -> GpuInventory:
    query = must_not_query if cuda is None else lambda: cuda
    return select_gpus(MACHINE, visible=visible, selected=selected, query_cuda=query)


def indices(gpus: Sequence[Gpu]) -> list[int]:
    return [gpu.index for gpu in gpus]


@pytest.mark.parametrize(
    ("visible", "selected", "used"),
    [
        (None, None, [0, 1, 2]),
        (None, [2, 0], [2, 0]),
        ("GPU-bb33", None, [2]),
        ("GPU-bb33,GPU-aa11", None, [2, 0]),
        ("GPU-bb33, GPU-aa11", [0], [0]),
        ("GPU-bb,GPU-aa", None, [2]),  # A prefix is enough, unless it is ambiguous.
        ("GPU-aa11,GPU-none,GPU-bb33", None, [0]),
        ("GPU-aa11,GPU-aa11,GPU-bb33", None, [0]),
        ("GPU-aa11,,GPU-bb33", None, [0]),
    ],
)
def test_gpus_are_selected_by_uuid_and_index(
    visible: str | None, selected: Sequence[int] | None, used: list[int]
):
    inventory = select(visible, selected)
    assert indices(inventory.gpus) == used
    assert indices(inventory.all_gpus) == [0, 1, 2]
    assert sorted(indices(inventory.gpus) + indices(inventory.others)) == [0, 1, 2]


SLICED = replace(GPUS[1], slices=("MIG-c1", "MIG-c2", "MIG-d3"))


@pytest.mark.parametrize(
    ("visible", "used"),
    [
        ("MIG-d3", [(1, "MIG-d3")]),
        ("MIG-d", [(1, "MIG-d3")]),
        ("MIG-c2,MIG-c1", [(1, "MIG-c2"), (1, "MIG-c1")]),
        ("MIG-c1,GPU-bb33", [(1, "MIG-c1"), (2, None)]),
        ("MIG-c,GPU-bb33", []),
        ("MIG-none", []),
        (None, [(0, None), (1, None), (2, None)]),
    ],
)
def test_a_mig_slice_stands_for_its_gpu(visible: str | None, used: list[tuple[int, str | None]]):
    machine = GpuInventory((GPUS[0], SLICED, GPUS[2]))
    found = select_gpus(machine, visible=visible, selected=None, query_cuda=must_not_query)
    assert [(gpu.index, gpu.used_slice) for gpu in found.gpus] == used
    assert indices(found.all_gpus) == [0, 1, 2], "each GPU counts once, whatever is used of it"
    assert (found.unavailable is None) == bool(used)


def test_each_slice_of_a_gpu_is_used_by_other_workers_on_its_gpus_sessions(tmp_path: Path):
    alone = replace(SLICED, index=0, is_only_gpu=True)
    found = select_gpus(
        GpuInventory((alone,)), visible="MIG-c1,MIG-d3", selected=[0], query_cuda=must_not_query
    )
    children = [gpu_of_worker(worker, found.gpus) for worker in range(3)]
    assert [child.environment for child in children if child] == [
        {"CUDA_VISIBLE_DEVICES": name} for name in ("MIG-c1", "MIG-d3", "MIG-c1")
    ]
    pools = Pools(
        tmp_path, nvenc_limit=2, cpu_limit=1, nvml=FakeNvml(alone), usable=lambda _: found
    )
    ((_, gpus),) = pools.nvenc_pools()
    assert indices(gpus) == [0], "one pool, one GPU"


def test_an_unknown_slice_is_named_with_the_command_that_lists_them():
    assert select("MIG-none").unavailable == (
        "every GPU is hidden by CUDA_VISIBLE_DEVICES=MIG-none; "
        "'nvidia-smi -L' lists the names of GPUs and MIG slices"
    )


def test_a_failed_gpu_is_kept_beside_the_selected_ones():
    failed = (FailedGpu(3, "GPU is lost"),)
    machine = GpuInventory(GPUS, failed=failed)
    found = select_gpus(machine, visible="GPU-bb33", selected=None, query_cuda=must_not_query)
    assert (indices(found.gpus), found.failed) == ([2], failed)


def test_numbers_are_resolved_by_cuda():
    inventory = select("1,0", cuda=["GPU-bb33", "GPU-aa11"])
    assert [(gpu.index, gpu.ordinal) for gpu in inventory.gpus] == [(2, 0), (0, 1)]
    assert indices(select("1,0", [0], cuda=["GPU-bb33", "GPU-aa11"]).gpus) == [0]
    assert indices(select("0", cuda=["GPU-of-another-kind"]).gpus) == []


@pytest.mark.parametrize(
    ("visible", "selected", "why"),
    [
        ("", None, "every GPU is hidden by CUDA_VISIBLE_DEVICES="),
        ("-1", None, "every GPU is hidden by CUDA_VISIBLE_DEVICES=-1"),
        ("GPU-none", None, "every GPU is hidden by CUDA_VISIBLE_DEVICES=GPU-none"),
        ("GPU-bb33", [0, 1], "METABONK_GPUS selects none of the available GPUs: 2"),
    ],
)
def test_an_empty_selection_names_its_cause(visible: str, selected: Sequence[int] | None, why: str):
    inventory = select(visible, selected)
    assert inventory.gpus == ()
    assert inventory.unavailable is not None and inventory.unavailable.startswith(why)


def test_if_cuda_cannot_be_queried_no_gpu_is_usable_and_the_reason_is_kept():
    def silent() -> Sequence[str]:
        raise CudaQueryError("CUDA shows no GPU: cuInit returned 999")

    inventory = select_gpus(MACHINE, visible="0", selected=None, query_cuda=silent)
    assert (inventory.gpus, inventory.unavailable) == ((), "CUDA shows no GPU: cuInit returned 999")
    assert indices(inventory.all_gpus) == [0, 1, 2]


def test_a_machine_without_a_gpu_is_unchanged():
    nothing = GpuInventory(unavailable="no NVIDIA driver on this machine")
    assert select_gpus(nothing, visible="0", selected=[1], query_cuda=must_not_query) == nothing


def test_gpus_are_assigned_to_workers_round_robin():
    used = select(None, [2, 0]).gpus
    given = [gpu_of_worker(worker, used) for worker in range(5)]
    assert [gpu.index for gpu in given if gpu] == [2, 0, 2, 0, 2]
    assert gpu_of_worker(3, ()) is None


def test_a_child_sees_a_single_gpu_of_several():
    assert GPUS[1].environment == {"CUDA_VISIBLE_DEVICES": "GPU-aa22"}
    assert Gpu(0, "GPU-aa11", "NVIDIA", 5, "590.44").environment == {}
