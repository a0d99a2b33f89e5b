"""Copies between host and device memory. Here the device is the CPU; ``tests/gpu`` uses a GPU."""

import numpy as np
import torch

from metabonk.policy.transfer import download, host_memory, upload

CPU = torch.device("cpu")


def test_an_array_on_the_cpu_shares_its_memory():
    array = np.zeros(3, np.float32)
    tensor = upload(array, CPU)
    array[1] = 5
    assert tensor.tolist() == [0, 5, 0]


def test_tensors_become_arrays_of_the_same_names_and_types():
    tensors = {"count": torch.tensor(3), "weight": torch.ones(2, 2, requires_grad=True)}
    arrays = download(tensors)
    assert list(arrays) == ["count", "weight"]
    assert arrays["count"].shape == ()
    assert arrays["count"].dtype == np.int64
    assert arrays["weight"].tolist() == [[1, 1], [1, 1]]


def test_host_memory_is_zero_at_first():
    memory = host_memory((2, 3), np.uint8, CPU)
    assert memory.dtype == torch.uint8
    assert memory.tolist() == [[0, 0, 0], [0, 0, 0]]
