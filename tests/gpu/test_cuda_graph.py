"""Work that a real GPU has recorded."""

import pytest
import torch
from torch import Tensor

from metabonk.policy.cuda_graph import CudaGraph


def test_it_works_on_whatever_its_inputs_are_now(cuda: torch.device):
    numbers = torch.zeros(3, device=cuda)
    graph = CudaGraph(lambda: numbers * 2, cuda)
    for value in (1.0, 5.0):
        numbers.fill_(value)
        assert graph().tolist() == [2 * value] * 3


def test_graphs_that_run_one_after_another_share_memory(cuda: torch.device):
    numbers = torch.arange(2**20, device=cuda, dtype=torch.float32)
    results = torch.zeros(3, device=cuda)

    def work(index: int) -> Tensor:
        return results[index].copy_((numbers * 2 + index).sum())

    pool = torch.cuda.graph_pool_handle()
    first = CudaGraph(lambda: work(0), cuda, pool=pool)
    before = torch.cuda.memory_reserved(cuda)
    others = [CudaGraph(lambda index=index: work(index), cuda, pool=pool) for index in (1, 2)]
    assert torch.cuda.memory_reserved(cuda) <= before
    results.zero_()
    for graph in (*others, first):
        graph()
    twice = 2 * float(numbers.sum())
    assert results.tolist() == pytest.approx([twice + index * 2**20 for index in range(3)])


def test_too_little_memory_for_a_recording_says_so(cuda: torch.device):
    total = torch.zeros(2, device=cuda)

    def work() -> Tensor:
        # Before it fails there is something to record: PyTorch warns of a graph without any work.
        total.add_(1)
        return torch.zeros(2**50 if torch.cuda.is_current_stream_capturing() else 1, device=cuda)

    with pytest.raises(torch.OutOfMemoryError):
        CudaGraph(work, cuda)
    # Further work, and further recordings, are unharmed.
    graph = CudaGraph(lambda: total.add_(1), cuda)
    before = total.clone()
    assert (graph() - before).tolist() == [1, 1]
