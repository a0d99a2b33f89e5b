"""Gradient steps on minibatches: a GPU repeats one that it has recorded."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metabonk.learner.batch import Batch
from metabonk.learner.gradient_step import GradientStep, Targets
from metabonk.learner.minibatch import Minibatch
from metabonk.policy import ActorCritic, PolicySpec
from metabonk.policy.cuda_graph import CudaGraph
from metabonk.settings.learning import Learning


class MinibatchStep:
    """Gradient steps on the valid steps of a batch.

    On a GPU, a step is recorded for the first minibatch and repeated for all others of at most its
    shape. It is recorded again when a larger one comes.

    Args:
        network: to change.
        optimizer: of the network.
        settings: of learning.
        step: that changes it.
    """

    def __init__(
        self,
        network: ActorCritic,
        optimizer: torch.optim.Optimizer,
        settings: Learning,
        step: GradientStep,
    ) -> None:
        self._network = network
        self._step = step
        self._usual = _usual_sizes(network.spec, settings)
        self._minibatch: Minibatch | None = None
        self._graph: CudaGraph | None = None
        optimizer.register_load_state_dict_post_hook(self._forget)

    def __call__(self, batch: Batch, targets: Targets, chosen: NDArray[np.int64]) -> Tensor:
        """Make a gradient step.

        Args:
            batch: of rollouts.
            targets: of its valid steps.
            chosen: from ``minibatches``.

        Returns:
            The values of a ``Report``, float32.
        """
        minibatch = self._reserve(batch, targets, chosen)
        minibatch.fill(batch, targets, chosen)
        device = minibatch.weights.device
        if device.type != "cuda":
            return self._run(minibatch)
        if self._graph is None:
            with self._step.without_effect():
                self._graph = CudaGraph(lambda: self._run(minibatch), device)
        return self._graph().clone()

    def _reserve(self, batch: Batch, targets: Targets, chosen: NDArray[np.int64]) -> Minibatch:
        """Return memory for a minibatch: on a GPU for more, so that its address stays."""
        shape: tuple[int, ...] = (len(chosen),)
        if self._network.memory is not None:
            shape = len(batch.layout.valid), len(chosen)
        reserved = (0,) * len(shape) if self._minibatch is None else self._minibatch.shape
        if batch.valid.is_cuda:
            shape = tuple(
                next(size for size in (before, *usual, needed) if size >= needed)
                for before, usual, needed in zip(reserved, self._usual, shape, strict=True)
            )
        if self._minibatch is None or shape != reserved:
            self._graph = None
            self._minibatch = Minibatch.empty(shape, batch, targets)
        return self._minibatch

    def _run(self, minibatch: Minibatch) -> Tensor:
        output = self._network.heads(minibatch.features(self._network))
        return self._step(output, minibatch.targets, minibatch.weights)

    def _forget(self, _: Any) -> None:
        """Record anew: the optimizer has taken over moments at other addresses."""
        self._graph = None


def _usual_sizes(spec: PolicySpec, settings: Learning) -> tuple[tuple[int, ...], ...]:
    """Return usual sizes of each dimension of a minibatch, in ascending order."""
    steps, length = settings.batch_size, settings.rollout_steps
    # A batch ends with the rollout that completes it, and rollouts may be shorter than usual.
    whole = (-(-steps // length),) if spec.memory else (steps, steps + length - 1)
    parts = tuple(-(-size // settings.num_minibatches) for size in whole)
    return ((length,), parts) if spec.memory else (parts,)
