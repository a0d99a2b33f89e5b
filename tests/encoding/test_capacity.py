"""Which workers can be live together: the rule, held against every way of handing out sessions."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pynvml
from hypothesis import given, settings

from metabonk.encoding.capacity import Capacity, capacity
from metabonk.encoding.ladder import RUNGS, PoolKind, ProbeResult
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Lease, Pools
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory, Nvml

NVENC_RUNG = next(rung for rung in RUNGS if rung.pool_kind is PoolKind.NVENC)
VA_RUNG = next(rung for rung in RUNGS if rung.pool_kind is PoolKind.VA)
RTX = Gpu(0, "GPU-0", "NVIDIA GeForce RTX 4070", pynvml.NVML_BRAND_GEFORCE, "550.54")
OTHER_RTX = replace(RTX, index=1, uuid="GPU-1")
H200 = Gpu(2, "GPU-2", "NVIDIA H200", pynvml.NVML_BRAND_NVIDIA, "550.54")


def most_served(given: Capacity, workers: Collection[int]) -> int:
    """How many of these can have a session, by trying every way (Kuhn's augmenting paths)."""
    sessions = [
        *(pool for pool, count in given.nvenc.items() for _ in range(count)),
        *("va" for _ in range(given.va)),
        *("cpu" for _ in range(given.cpu)),
    ]
    holder: dict[int, int] = {}

    def may_have(worker: int, session: str) -> bool:
        pool = given.pool_of(worker)
        if session == "cpu":
            return pool is None or given.cpu_fallback
        return session in ("va", pool)

    def seat(worker: int, tried: set[int]) -> bool:
        for number, session in enumerate(sessions):
            if number in tried or not may_have(worker, session):
                continue
            tried.add(number)
            if number not in holder or seat(holder[number], tried):
                holder[number] = worker
                return True
        return False

    return sum(seat(worker, set()) for worker in workers)


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
def test_nobody_is_promised_a_session_that_another_needs(given: Capacity, workers: set[int]):
    assert given.shortage(workers) == len(workers) - most_served(given, workers)


def test_the_first_by_index_are_those_that_fit():
    two = Capacity(gpus=("a", "b"), nvenc={"a": 2, "b": 1})
    assert [worker for worker in range(8) if two.comes_first(worker)] == [0, 1, 2]
    assert [worker for worker in range(8) if Capacity(cpu=3).comes_first(worker)] == [0, 1, 2]


class Machine(Nvml):
    def __init__(self, *gpus: Gpu) -> None:
        self.gpus = gpus

    def census(self) -> GpuInventory:
        return GpuInventory(self.gpus)


def measured(folder: Path, *gpus: Gpu, limit: int = 2, fallback: bool = False) -> Capacity:
    pools = Pools(folder, nvenc_limit=limit, cpu_limit=1, nvml=Machine(*gpus))
    return capacity(pools, ProbeCache(folder), allow_cpu_fallback=fallback)


def test_each_gpu_has_the_sessions_that_the_user_allows_it(tmp_path: Path):
    found = measured(tmp_path, RTX, OTHER_RTX)
    assert found.gpus == ("nvenc-gpu0", "nvenc-gpu1")
    assert found.nvenc == {"nvenc-gpu0": 2, "nvenc-gpu1": 2}
    assert (found.total, found.is_divided, found.sessions_of(3)) == (4, True, 2)


def test_a_limit_found_by_us_is_one_for_both(tmp_path: Path):
    found = measured(tmp_path, RTX, OTHER_RTX, limit=0)
    assert found.nvenc == {"nvenc": 8}
    assert (found.total, found.is_divided, found.sessions_of(3)) == (8, False, 8)


def test_beside_an_encoder_the_workers_of_a_gpu_without_one_are_shown_in_software(tmp_path: Path):
    pools = Pools(tmp_path, nvenc_limit=2, cpu_limit=1, nvml=Machine(RTX, H200))
    pools.learn_that_there_is_no_encoder(H200.index)
    found = measured(tmp_path, RTX, H200)
    assert found.gpus == ("nvenc-gpu0", None)
    assert (found.sessions_of(0), found.sessions_of(1), found.total) == (2, 1, 3)
    assert found.shortage([0, 1, 2]) == 0
    assert not found.has_room([0, 1, 2], 3)
    assert not found.has_room([0, 1, 2], 4)


def test_software_counts_without_a_gpu_and_where_it_is_allowed(tmp_path: Path):
    assert measured(tmp_path).total == 1
    assert measured(tmp_path, RTX).total == 2
    assert measured(tmp_path, RTX, fallback=True).total == 3


def test_va_api_counts_for_all_once_it_has_worked(tmp_path: Path):
    assert measured(tmp_path, RTX).va == 0
    ProbeCache(tmp_path).keep(VA_RUNG, None, ProbeResult(works=True), quarantined=False)
    found = measured(tmp_path, RTX)
    assert found.va > 1
    assert found.has_room([0, 1, 2], 3)


def test_our_own_leases_are_the_fleets_and_are_not_taken_off(tmp_path: Path):
    pools = Pools(tmp_path, nvenc_limit=2, cpu_limit=1, nvml=Machine(RTX))
    pool = pools.nvenc(0)
    assert pool is not None
    with_lease = pool.take(worker="omega-0", purpose="stream")
    assert isinstance(with_lease, Lease)
    assert capacity(pools, ProbeCache(tmp_path), allow_cpu_fallback=False).total == 2
