"""Check that a batch fits into memory, before the first one arrives."""

from pathlib import Path

import numpy as np
import psutil
import torch

from metabonk.errors import SettingsError
from metabonk.policy import ActorCritic
from metabonk.settings.learning import Learning
from metabonk.system.cgroup import ROOT, free_memory

GB = 1e9


def required_bytes(network: ActorCritic, learning: Learning, queue_steps: int) -> int:
    """Estimate the least memory for learning, bytes: the queue, a batch, and one minibatch.

    A minibatch needs its observations as float32, the output of every layer, and the gradient of
    each.

    Args:
        network: that is trained.
        learning: settings.
        queue_steps: capacity of the queue, steps.
    """
    spec = network.spec
    device = next(network.parameters()).device
    layer = torch.zeros(1, *spec.observation_shape, device=device)
    numbers = layer.numel()
    observation = numbers * np.dtype(spec.observation_dtype).itemsize
    with torch.no_grad():
        for module in network.encoder:
            output = module(layer)
            # Layers that work in place or only reshape take no memory.
            numbers += output.numel() if output.data_ptr() != layer.data_ptr() else 0
            layer = output
    minibatch = -(-learning.batch_size // learning.num_minibatches)
    return (queue_steps + learning.batch_size) * observation + minibatch * numbers * 2 * 4


def available_bytes(root: Path = ROOT) -> int:
    """Return the memory that this machine and the control groups still allow, bytes.

    Args:
        root: of the file system.
    """
    free, allowed = int(psutil.virtual_memory().available), free_memory(root)
    return free if allowed is None else min(free, allowed)


def check_memory(needed: int, free: int, learning: Learning) -> None:
    """Refuse a batch that can't fit.

    Args:
        needed: from ``required_bytes``.
        free: from ``available_bytes``.
        learning: settings.

    Raises:
        SettingsError: it doesn't fit; names the settings.
    """
    if needed > free:
        raise SettingsError(
            f"learning.batch_size = {learning.batch_size} with learning.num_minibatches = "
            f"{learning.num_minibatches} needs at least {needed / GB:.1f} GB of memory, and "
            f"{free / GB:.1f} GB are free. Lower batch_size or raise num_minibatches"
        )
