"""Gradient steps of policies without memory: a GPU repeats one that it has recorded."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metabonk.learner.batch import Batch, encode_observations
from metabonk.learner.gradient_step import GradientStep, Targets
from metabonk.policy import ActorCritic
from metabonk.policy.cuda_graph import CudaGraph
from metabonk.policy.transfer import upload
from metabonk.settings.schema import Learning


class Minibatch(NamedTuple):
    """A minibatch of up to M steps, in memory that the next one takes over.

    Attributes:
        observations: ``[M, …]``.
        targets: of M steps.
        weights: of each step in the means; 0 for padding, ``[M]`` float32.
    """

    observations: Tensor
    targets: Targets
    weights: Tensor

    @classmethod
    def empty(cls, size: int, batch: Batch, targets: Targets) -> "Minibatch":
        """Return memory for ``size`` steps of such a batch."""

        def rows(like: Tensor) -> Tensor:
            return like.new_empty((size, *like.shape[1:]))

        return cls(rows(batch.observations), Targets(*map(rows, targets)), rows(targets.advantages))

    def fill(self, batch: Batch, targets: Targets, chosen: NDArray[np.int64]) -> None:
        """Take steps of a batch; padding repeats the first of them.

        Args:
            batch: of rollouts.
            targets: of its valid steps.
            chosen: indices of valid steps, at least one and at most M.
        """
        padded = np.full(len(self.weights), chosen[0])
        padded[: len(chosen)] = chosen
        weights = np.zeros(len(self.weights), np.float32)
        weights[: len(chosen)] = 1 / len(chosen)
        device = self.weights.device
        steps = upload(padded, device)
        rows = batch.obs_of_valid.index_select(0, steps)
        torch.index_select(batch.observations, 0, rows, out=self.observations)
        for source, mine in zip(targets, self.targets, strict=True):
            torch.index_select(source, 0, steps, out=mine)
        self.weights.copy_(upload(weights, device))


class MinibatchStep:
    """Gradient steps on the valid steps of a batch.

    On a GPU, a step is recorded for the first minibatch and repeated for all others of at most its
    size. It is recorded again when a larger one comes.

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
        # A batch ends with the rollout that completes it, and rollouts may be shorter than usual.
        usual, largest = settings.batch_size, settings.batch_size + settings.rollout_steps - 1
        self._sizes = [-(-steps // settings.num_minibatches) for steps in (usual, largest)]
        self._minibatch: Minibatch | None = None
        self._graph: CudaGraph | None = None
        optimizer.register_load_state_dict_post_hook(self._forget)

    def __call__(self, batch: Batch, targets: Targets, chosen: NDArray[np.int64]) -> Tensor:
        """Make a gradient step.

        Args:
            batch: of rollouts.
            targets: of its valid steps.
            chosen: indices of valid steps, at least one.

        Returns:
            The values of a ``Report``, float32.
        """
        minibatch = self._reserve(len(chosen), batch, targets)
        minibatch.fill(batch, targets, chosen)
        device = minibatch.weights.device
        if device.type != "cuda":
            return self._run(minibatch)
        if self._graph is None:
            with self._step.without_effect():
                self._graph = CudaGraph(lambda: self._run(minibatch), device)
        return self._graph().clone()

    def _reserve(self, count: int, batch: Batch, targets: Targets) -> Minibatch:
        """Return memory for ``count`` steps: on a GPU for more, so that its address stays."""
        reserved = 0 if self._minibatch is None else len(self._minibatch.weights)
        size = count
        if batch.valid.is_cuda:
            size = next(size for size in (reserved, *self._sizes, count) if size >= count)
        if self._minibatch is None or size != reserved:
            self._graph = None
            self._minibatch = Minibatch.empty(size, batch, targets)
        return self._minibatch

    def _run(self, minibatch: Minibatch) -> Tensor:
        features = encode_observations(self._network, minibatch.observations)
        return self._step(self._network.heads(features), minibatch.targets, minibatch.weights)

    def _forget(self, _: Any) -> None:
        """Record anew: the optimizer has taken over moments at other addresses."""
        self._graph = None
