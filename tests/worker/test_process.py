"""Where a worker's policy acts."""

import pytest
import torch

from metabonk.encoding.sessions.nvml import Gpu
from metabonk.worker.process import _device

GPU = Gpu(3, "GPU-3", "NVIDIA", 5, "590.44", ordinal=1)


def test_the_policy_acts_on_the_workers_own_gpu_by_cudas_number(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert _device(GPU) == torch.device("cuda", 1)
    assert _device(None) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _device(GPU) is None
