"""Saliency maps: which image regions the chosen action depends on.

A cell's saliency is how much the log-probability of the chosen action would change if that cell
were blurred (perturbation saliency, Greydanus et al. 2018, "Visualizing and understanding Atari
agents"). Blurring cell by cell takes a forward pass each; the first-order Taylor term used here
takes one forward and one backward pass for all cells (docs/benchmarks.md, "Saliency maps").
The gradient alone costs hardly less, and smears over the surroundings of an object.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from metabonk.policy.network import ActorCritic

CELL = 8
"""Side of a cell of the map, in pixels of the observation."""


def saliency_map(
    network: ActorCritic,
    observation: NDArray[np.uint8],
    action: NDArray[np.generic] | int,
    memory: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Compute the saliency map of one decision.

    Args:
        network: that decided.
        observation: that it was made on, ``H×W×C``.
        action: that was chosen.
        memory: the recurrent state before it, ``[H]``; None without one.

    Returns:
        ``[H // 8, W // 8]``: 255 in the most salient cell; all 0 where the action depends on none.
    """
    device = next(network.parameters()).device
    image = torch.from_numpy(observation).to(device, torch.float32)[None].requires_grad_()
    hidden = None if memory is None else torch.from_numpy(memory).to(device)[None]
    # Normalizing works in place, which a leaf with a gradient doesn't allow.
    output = network(image.clone(), hidden)
    chosen = torch.as_tensor(np.asarray(action)).to(device)[None]
    log_prob = network.spec.distribution(output.parameters).log_prob(chosen)
    (gradient,) = torch.autograd.grad(log_prob.sum(), image)
    with torch.no_grad():
        change = (gradient * (image - blurred(image))).sum(-1)
        cells = functional.avg_pool2d(change, CELL).abs()[0]
        scaled = cells * (255 / cells.max().clamp_min(1e-12))
        result: NDArray[np.uint8] = scaled.round().to(torch.uint8).cpu().numpy()
        return result


def blurred(image: torch.Tensor) -> torch.Tensor:
    """Blur ``N×H×W×C`` images by scaling down and up: detail below two cells is lost."""
    channels = image.permute(0, 3, 1, 2)
    small = functional.avg_pool2d(channels, CELL, ceil_mode=True, count_include_pad=False)
    small = functional.avg_pool2d(small, 3, 1, 1, count_include_pad=False)
    size = channels.shape[-2:]
    large = functional.interpolate(small, size, mode="bilinear", align_corners=False)
    return large.permute(0, 2, 3, 1)
