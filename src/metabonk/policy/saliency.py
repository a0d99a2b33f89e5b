"""Where the network looks: which parts of a picture its decision hangs on.

What is asked is how much the log-probability of the chosen action would change if a cell of the
picture were blurred (perturbation saliency, Greydanus et al. 2018, "Visualizing and understanding
Atari agents"). Asked cell by cell that takes a forward pass each; here it is the first-order Taylor
term of the same, which takes one pass forward and one back: the maps look alike, and one of 16×9
cells costs an eighth (``benchmarks/attention.py``). The gradient alone costs hardly less, and
smears over what surrounds a thing.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from metabonk.policy.network import ActorCritic

CELL = 8
"""Pixels of the observation, in height and in width, that are one cell of the map."""


def attention(
    network: ActorCritic,
    observation: NDArray[np.uint8],
    action: NDArray[np.generic] | int,
    memory: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """The map of one decision.

    Args:
        network: that decided.
        observation: that it was made on, ``H×W×C``.
        action: that was chosen.
        memory: the recurrent state before it, ``[H]``; None without one.

    Returns:
        ``[H // 8, W // 8]``, 255 where the decision hangs on most; all 0 where it hangs on nothing.
    """
    device = next(network.parameters()).device
    picture = torch.from_numpy(observation).to(device, torch.float32)[None].requires_grad_()
    remembered = None if memory is None else torch.from_numpy(memory).to(device)[None]
    # Normalising works in place, which a leaf with a gradient doesn't allow.
    output = network(picture.clone(), remembered)
    chosen = torch.as_tensor(np.asarray(action)).to(device)[None]
    log_prob = network.spec.distribution(output.parameters).log_prob(chosen)
    (gradient,) = torch.autograd.grad(log_prob.sum(), picture)
    with torch.no_grad():
        change = (gradient * (picture - _blurred(picture))).sum(-1)
        cells = functional.avg_pool2d(change, CELL).abs()[0]
        scaled = cells * (255 / cells.max().clamp_min(1e-12))
        result: NDArray[np.uint8] = scaled.round().to(torch.uint8).cpu().numpy()
        return result


def _blurred(picture: torch.Tensor) -> torch.Tensor:
    """Twice the size of a cell is lost, by going to a small picture and back."""
    channels = picture.permute(0, 3, 1, 2)
    small = functional.avg_pool2d(channels, CELL, ceil_mode=True, count_include_pad=False)
    small = functional.avg_pool2d(small, 3, 1, 1, count_include_pad=False)
    size = channels.shape[-2:]
    blurred = functional.interpolate(small, size, mode="bilinear", align_corners=False)
    return blurred.permute(0, 2, 3, 1)
