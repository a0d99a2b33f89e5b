"""Whether a batch fits into memory, before the first one comes."""

from pathlib import Path

import numpy as np
import psutil
import torch

from metabonk.errors import SettingsError
from metabonk.policy import ActorCritic
from metabonk.settings.schema import Learning

CGROUP = Path("/sys/fs/cgroup")
GB = 1e9


def memory_needed(network: ActorCritic, learning: Learning, queue_steps: int) -> int:
    """Bytes that learning takes at least: rollouts that wait, a batch, and one part of it.

    A part needs its observations as floating-point numbers, what every layer makes of them, and
    the gradient of each.

    Args:
        network: what learns.
        learning: how.
        queue_steps: decisions that may wait.
    """
    spec = network.spec
    device = next(network.parameters()).device
    layer = torch.zeros(1, *spec.observation_shape, device=device)
    numbers = layer.numel()
    observation = numbers * np.dtype(spec.observation_dtype).itemsize
    with torch.no_grad():
        for module in network.encoder:
            made = module(layer)
            # What is done in place, or is another shape of the same numbers, takes nothing.
            numbers += made.numel() if made.data_ptr() != layer.data_ptr() else 0
            layer = made
    part = -(-learning.batch_size // learning.num_minibatches)
    return (queue_steps + learning.batch_size) * observation + part * numbers * 2 * 4


def memory_free(cgroup: Path = CGROUP) -> int:
    """Bytes that this process may still take: of the machine, and of its control group."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        counts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        # The kernel drops pages of files that nobody uses before it lets anything fail.
        used -= int(counts["inactive_file"])
    except (OSError, ValueError, KeyError):  # No control group, or one without a limit.
        return free
    return min(free, max(0, limit - used))


def check_memory(needed: int, free: int, learning: Learning) -> None:
    """Refuses a batch that can't fit.

    Args:
        needed: from ``memory_needed``.
        free: from ``memory_free``.
        learning: how it is learned.

    Raises:
        SettingsError: it doesn't fit; names the settings.
    """
    if needed > free:
        raise SettingsError(
            f"learning.batch_size = {learning.batch_size} with learning.num_minibatches = "
            f"{learning.num_minibatches} needs at least {needed / GB:.1f} GB of memory, and "
            f"{free / GB:.1f} GB are free. Lower batch_size, or raise num_minibatches"
        )
