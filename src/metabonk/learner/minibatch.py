"""A part of a batch, in memory that the next part takes over."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metabonk.learner.batch import Batch, encode_observations
from metabonk.learner.gradient_step import Targets
from metabonk.policy import ActorCritic
from metabonk.policy.transfer import upload


class Sequences(NamedTuple):
    """Order of up to L times b observations, for a recurrent policy.

    Attributes:
        state: before each of b sequences, ``[b, H]`` float32.
        episode_starts: steps before which the state is zero, ``[L, b]`` bool.
        learned: steps to learn from, numbered row by row of ``[L, b]``; ``[L·b]`` int64.
    """

    state: Tensor
    episode_starts: Tensor
    learned: Tensor

    def fill(
        self, batch: Batch, columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Take rollouts of a batch; padding has some observation or other.

        Args:
            batch: of rollouts.
            columns: indices of rollouts with a valid step, at most b.

        Returns:
            Index of the observation of each step, ``[L·b]``, and the indices of the M steps to
            learn from among the batch's valid steps, ``[M]``.
        """
        layout, device = batch.layout, self.state.device
        shape = self.episode_starts.shape
        rows, starts = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
        learned = np.zeros(shape, np.bool_)
        taken = np.s_[: len(layout.valid), : len(columns)]
        rows[taken] = layout.obs_index[:, columns]
        starts[taken][1:] = layout.terminated[:-1, columns]
        valid = layout.valid[:, columns]
        learned[taken] = valid
        padded = upload(pad(columns, shape[1]), device)
        torch.index_select(batch.hidden_state, 0, padded, out=self.state)
        self.episode_starts.copy_(upload(starts, device))
        self.learned.copy_(upload(pad(np.flatnonzero(learned), learned.size), device))
        numbers = np.cumsum(layout.valid).reshape(layout.valid.shape) - 1
        return rows.flatten(), numbers[:, columns][valid]


class Minibatch(NamedTuple):
    """Up to M steps to learn from.

    Attributes:
        observations: ``[M, …]``.
        targets: of M steps.
        weights: of each step in the means; 0 for padding, ``[M]`` float32.
        sequences: that the observations form; None for a policy without memory.
    """

    observations: Tensor
    targets: Targets
    weights: Tensor
    sequences: Sequences | None

    @classmethod
    def empty(cls, shape: tuple[int, ...], batch: Batch, targets: Targets) -> "Minibatch":
        """Return memory for parts of such a batch.

        Args:
            shape: M; or L and b, of a recurrent policy.
            batch: of rollouts.
            targets: of its valid steps.
        """
        size = math.prod(shape)

        def rows(like: Tensor, count: int = size) -> Tensor:
            return like.new_empty((count, *like.shape[1:]))

        sequences = None
        if len(shape) == 2:
            starts = batch.terminated.new_empty(shape)
            sequences = Sequences(rows(batch.hidden_state, shape[1]), starts, rows(batch.valid))
        return cls(
            rows(batch.observations),
            Targets(*map(rows, targets)),
            rows(targets.advantages),
            sequences,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape as ``empty`` takes it: M, or L and b."""
        shaped = self.weights if self.sequences is None else self.sequences.episode_starts
        return tuple(shaped.shape)

    def fill(self, batch: Batch, targets: Targets, chosen: NDArray[np.int64]) -> None:
        """Take a part of a batch; padding repeats its first step.

        Args:
            batch: of rollouts.
            targets: of its valid steps.
            chosen: from ``minibatches``; no more than there is memory for.
        """
        size, device = len(self.weights), self.weights.device
        if self.sequences is None:
            steps = chosen
            rows = pad(batch.layout.obs_index[batch.layout.valid][steps], size)
        else:
            rows, steps = self.sequences.fill(batch, chosen)
        torch.index_select(batch.observations, 0, upload(rows, device), out=self.observations)
        padded = upload(pad(steps, size), device)
        for source, mine in zip(targets, self.targets, strict=True):
            torch.index_select(source, 0, padded, out=mine)
        weights = np.zeros(size, np.float32)
        weights[: len(steps)] = 1 / len(steps)
        self.weights.copy_(upload(weights, device))

    def features(self, network: ActorCritic) -> Tensor:
        """Compute the features of the steps for ``ActorCritic.heads``, with gradients."""
        features = encode_observations(network, self.observations)
        if self.sequences is None:
            return features
        assert network.memory is not None, "only a recurrent policy has sequences"
        state, starts, learned = self.sequences
        states = network.memory.unroll(features.view(*starts.shape, -1), state, starts)
        return states.flatten(0, 1).index_select(0, learned)


def pad(indices: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return indices with the first repeated at the end, ``[size]``."""
    padded = np.full(size, indices[0])
    padded[: len(indices)] = indices
    return padded
