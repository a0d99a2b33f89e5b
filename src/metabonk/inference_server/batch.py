"""One forward pass for the observations of several workers."""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metabonk.policy import ActorCritic, PolicySpec
from metabonk.policy.cuda_graph import CudaGraph
from metabonk.policy.inference_wire import MAX_CAPACITY, InferenceSlab
from metabonk.policy.shared_network import SharedNetwork
from metabonk.policy.transfer import host_memory

SIZES = (2 * MAX_CAPACITY, 256, 128, 64, 32, 16, 8)
"""Observations of the passes that a GPU records. The largest comes first, so that the memory that
it worked in is there for the others."""


class Request(NamedTuple):
    """Observations that wait for a forward pass.

    Attributes:
        slab: that they lie in, from its first row.
        observations: how many.
    """

    slab: InferenceSlab
    observations: int


class BatchedForward:
    """Forward passes of a network, from memory to memory.

    A GPU repeats passes that are recorded here, each for a number of observations, with a copy of
    the network that no other thread touches. It computes more rows than there are observations.

    Args:
        shared: the network.
        device: that it is on.

    Raises:
        torch.OutOfMemoryError: the device has too little memory.
    """

    def __init__(self, shared: SharedNetwork, device: torch.device) -> None:
        self._shared = shared
        with shared.newest() as (network, _):
            rows = Rows(network.spec, device)
            recorded = RecordedPasses(network, rows, device) if device.type == "cuda" else None
        self._rows, self._recorded = rows, recorded

    def __call__(self, requests: Sequence[Request]) -> int:
        """Answer requests in their memory, in one forward pass unless they are very many.

        Args:
            requests: at least one, with at least one observation each.

        Returns:
            The version of the weights.
        """
        with self._shared.newest() as (network, version):
            for part in _parts(requests):
                count = self._rows.gather(part)
                if self._recorded is None:
                    self._rows.compute(network, count)
                else:
                    self._recorded.compute(network, version, count)
                self._rows.scatter(part)
        return version


class Rows:
    """Host memory that a pass reads and writes, a row for each observation.

    Args:
        spec: of the policy.
        device: to compute on.
    """

    def __init__(self, spec: PolicySpec, device: torch.device) -> None:
        count, self._spec, self._device = SIZES[0], spec, device
        shape = (count, *spec.observation_shape)
        self._observations = host_memory(shape, spec.observation_dtype, device)
        self._memory = host_memory((count, spec.memory), np.float32, device)
        # A value, parameters and the next recurrent state: a single copy brings all from a GPU.
        columns = 1 + spec.parameters + spec.memory
        self._results = host_memory((count, columns), np.float32, device)

    def gather(self, requests: Sequence[Request]) -> int:
        """Take the observations of requests, and return their number."""
        count = sum(request.observations for request in requests)
        seen = [slab.observations[:number] for slab, number in requests]
        np.concatenate(seen, out=self._observations[:count].numpy())
        states = [slab.memory[:number] for slab, number in requests]
        np.concatenate(states, out=self._memory[:count].numpy())
        return count

    @torch.inference_mode()
    def compute(self, network: ActorCritic, count: int) -> Tensor:
        """Make a forward pass on the first rows, without waiting for a GPU; return the results."""
        observations = self._observations[:count].to(self._device, non_blocking=True)
        memory = None
        if self._spec.memory:
            memory = self._memory[:count].to(self._device, non_blocking=True)
        output = network(observations, memory)
        values = network.denormalize(output.values)
        results = torch.cat([values[:, None], output.parameters, output.memory], 1)
        return self._results[:count].copy_(results, non_blocking=True)

    def scatter(self, requests: Sequence[Request]) -> None:
        """Write the results into the memory of the requests."""
        results, first, parameters = self._results.numpy(), 0, self._spec.parameters
        for slab, count in requests:
            rows = results[first : first + count]
            slab.values[:count] = rows[:, 0]
            slab.parameters[:count] = rows[:, 1 : 1 + parameters]
            slab.next_memory[:count] = rows[:, 1 + parameters :]
            first += count


class RecordedPasses:
    """Forward passes that a GPU repeats: each is a single launch, copies included.

    Args:
        network: whose weights they begin with.
        rows: that they read and write.
        device: a GPU.
    """

    def __init__(self, network: ActorCritic, rows: Rows, device: torch.device) -> None:
        self._network = copy.deepcopy(network)
        self._weights: tuple[ActorCritic, int] | None = None
        self._device = device
        pool = torch.cuda.graph_pool_handle()
        self._graphs = {size: self._record(rows, size, pool) for size in SIZES}

    def _record(self, rows: Rows, size: int, pool: object) -> CudaGraph:
        return CudaGraph(lambda: rows.compute(self._network, size), self._device, pool=pool)

    def compute(self, network: ActorCritic, version: int, count: int) -> None:
        """Make a forward pass on the first rows, to the end.

        Args:
            network: whose weights decide; unchanged meanwhile.
            version: of the weights.
            count: of rows.
        """
        if self._weights != (network, version):
            self._network.load_state_dict(network.state_dict())
            self._weights = network, version
        self._graphs[min(size for size in SIZES if size >= count)]()
        torch.cuda.current_stream(self._device).synchronize()


def _parts(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    """Divide requests into parts for which there are rows; no request has more."""
    begin = count = 0
    for index, request in enumerate(requests):
        count += request.observations
        if count > SIZES[0]:
            yield requests[begin:index]
            begin, count = index, request.observations
    yield requests[begin:]
