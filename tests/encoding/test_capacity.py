"""Workers that can be live together: the rule, checked against every possible assignment."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pynvml
from hypothesis import given, settings

from metabonk.encoding.capacity import Capacity, measure_capacity
from metabonk.encoding.ladder import RUNGS, PoolKind, ProbeResult
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Lease
from metabonk.encoding.sessions.nvml import Gpu
from tests.support.machines import pools_of

NVENC_RUNG = next(rung for rung in RUNGS if rung.pool_kind is PoolKind.NVENC)
VA_RUNG = next(rung for rung in RUNGS if rung.pool_kind is PoolKind.VA)
RTX = Gpu(0, "GPU-0", "NVIDIA GeForce RTX 4070", pynvml.NVML_BRAND_GEFORCE, "550.54")
OTHER_RTX = replace(RTX, index=1, uuid="GPU-1")
H200 = Gpu(2, "GPU-2", "NVIDIA H200", pynvml.NVML_BRAND_NVIDIA, "550.54")


def max_served(given: Capacity, workers: Collection[int]) -> int:
    """Return how many of these can have a session, by Kuhn's augmenting paths."""
    sessions = [
        *(pool for pool, count in given.nvenc.items() for _ in range(count)),
        *("va" for _ in range(given.va)),
        *("cpu" for _ in range(given.cpu)),
    ]
    holder: dict[int, int] = {}

    def may_use(worker: int, session: str) -> bool:
        pool = given.pool_of(worker)
        if session == "cpu":
            return pool is None or given.cpu_fallback
        return session in ("va", pool)

    def assign(worker: int, tried: set[int]) -> bool:
        for number, session in enumerate(sessions):
            if number in tried or not may_use(worker, session):
                continue
            tried.add(number)
            if number not in holder or assign(holder[number], tried):
                holder[number] = worker
                return True
        return False

    return sum(assign(worker, set()) for worker in workers)


few = st.integers(0, 2)
capacities = st.builds(
    Capacity,
    gpus=st.lists(st.sampled_from(["a", "b", None]), max_size=4).map(tuple),
    nvenc=st.fixed_dictionaries({"a": few, "b": few}),
    va=few,
    cpu=few,
    cpu_fallback=st.booleans(),
)


@settings(max_examples=500, deadline=None)
@given(capacities, st.sets(st.integers(0, 9)))
def test_the_shortage_matches_the_best_possible_assignment(given: Capacity, workers: set[int]):
    assert given.shortage(workers) == len(workers) - max_served(given, workers)


def test_the_first_workers_by_index_that_fit_come_first():
    two = Capacity(gpus=("a", "b"), nvenc={"a": 2, "b": 1})
    assert [worker for worker in range(8) if two.comes_first(worker)] == [0, 1, 2]
    assert [worker for worker in range(8) if Capacity(cpu=3).comes_first(worker)] == [0, 1, 2]


def capacity_of(folder: Path, *gpus: Gpu, limit: int = 2, fallback: bool = False) -> Capacity:
    pools = pools_of(folder, *gpus, limit=limit)
    return measure_capacity(pools, ProbeCache(folder), allow_cpu_fallback=fallback)


def test_a_configured_limit_applies_to_each_gpu(tmp_path: Path):
    found = capacity_of(tmp_path, RTX, OTHER_RTX)
    assert found.gpus == ("nvenc-gpu0", "nvenc-gpu1")
    assert found.nvenc == {"nvenc-gpu0": 2, "nvenc-gpu1": 2}
    assert (found.total, found.is_divided, found.sessions_of(3)) == (4, True, 2)


def test_an_automatic_limit_is_shared_by_both_gpus(tmp_path: Path):
    found = capacity_of(tmp_path, RTX, OTHER_RTX, limit=0)
    assert found.nvenc == {"nvenc": 8}
    assert (found.total, found.is_divided, found.sessions_of(3)) == (8, False, 8)


def test_workers_of_a_gpu_without_an_encoder_use_software_beside_one_with_an_encoder(
    tmp_path: Path,
):
    pools = pools_of(tmp_path, RTX, H200, limit=2)
    pools.mark_no_encoder(H200.index)
    found = capacity_of(tmp_path, RTX, H200)
    assert found.gpus == ("nvenc-gpu0", None)
    assert (found.sessions_of(0), found.sessions_of(1), found.total) == (2, 1, 3)
    assert found.shortage([0, 1, 2]) == 0
    assert not found.has_room([0, 1, 2], 3)
    assert not found.has_room([0, 1, 2], 4)


def test_software_counts_without_a_gpu_or_if_the_fallback_is_allowed(tmp_path: Path):
    assert capacity_of(tmp_path).total == 1
    assert capacity_of(tmp_path, RTX).total == 2
    assert capacity_of(tmp_path, RTX, fallback=True).total == 3


def test_va_api_counts_for_all_workers_once_its_probe_succeeded(tmp_path: Path):
    assert capacity_of(tmp_path, RTX).va == 0
    ProbeCache(tmp_path).store(VA_RUNG, None, ProbeResult(works=True), quarantined=False)
    found = capacity_of(tmp_path, RTX)
    assert found.va > 1
    assert found.has_room([0, 1, 2], 3)


def test_our_own_leases_do_not_reduce_the_capacity(tmp_path: Path):
    pools = pools_of(tmp_path, RTX, limit=2)
    pool = pools.nvenc(0)
    assert pool is not None
    with_lease = pool.take(worker="omega-0", purpose="stream")
    assert isinstance(with_lease, Lease)
    assert measure_capacity(pools, ProbeCache(tmp_path), allow_cpu_fallback=False).total == 2
