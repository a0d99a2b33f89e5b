"""Copies between host and device memory. Here the device is the CPU; ``tests/gpu`` uses a GPU."""

import numpy as np
import torch

from metabonk.policy.transfer import download, host_memory, upload, upload_joined

CPU = torch.device("cpu")


def test_an_array_on_the_cpu_shares_its_memory():
    array = np.zeros(3, np.float32)
    tensor = upload(array, CPU)
    array[1] = 5
    assert tensor.tolist() == [0, 5, 0]


def test_arrays_are_joined_along_the_first_dimension():
    arrays = [np.full((rows, 2, 3), rows, np.uint8) for rows in (2, 1, 4)]
    joined = upload_joined(arrays, CPU)
    assert joined.dtype == torch.uint8
    assert np.array_equal(joined.numpy(), np.concatenate(arrays))
    arrays[0][:] = 9
    assert not (joined == 9).any(), "the rollouts stay as they are, and so does the batch"


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
