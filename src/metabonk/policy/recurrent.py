"""The recurrent layer: one step of several games, or whole sequences at once."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from metabonk.policy.transfer import upload


class Packing(NamedTuple):
    """Layout of B sequences of L steps, cut where an episode begins and packed by length.

    The steps of the sequences are numbered row by row of ``[L, B]``.

    Attributes:
        order: number of each packed step, ``[L·B]`` int64.
        position: position of each step in the packed ones, ``[L·B]`` int64.
        batch_sizes: segments that are longer than 0, 1, … steps, int64; see ``PackedSequence``.
        sequences: that each segment begins, or B if it begins inside one, in packed order; int64.
    """

    order: NDArray[np.int64]
    position: NDArray[np.int64]
    batch_sizes: NDArray[np.int64]
    sequences: NDArray[np.int64]

    @classmethod
    def of(cls, episode_starts: NDArray[np.bool_]) -> "Packing":
        """Return the layout for ``episode_starts``; see ``RecurrentLayer.unroll``."""
        length, count = episode_starts.shape
        starts = episode_starts.T.copy()
        starts[:, 0] = True
        # Sequence after sequence, so that the steps of a segment are adjacent.
        begins = np.flatnonzero(starts)
        sizes = np.diff(begins, append=length * count)
        by_size = np.argsort(-sizes, kind="stable")
        rank = np.empty_like(by_size)
        rank[by_size] = np.arange(len(by_size))
        segment = np.cumsum(starts) - 1
        age = np.arange(length * count) - begins[segment]
        packed = np.argsort(age * len(sizes) + rank[segment])
        order = packed % length * count + packed // length
        position = np.empty_like(order)
        position[order] = np.arange(length * count)
        sequences = np.where(begins % length == 0, begins // length, count)[by_size]
        return cls(order, position, np.bincount(age), sequences)


class RecurrentLayer(nn.GRU):
    """Gated recurrent unit whose state is reset where an episode begins.

    Initialized orthogonally, gate by gate.

    Args:
        features: size F of the input.
        size: H, of the state.
    """

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, features: int, size: int) -> None:
        super().__init__(features, size)
        for name, parameter in self.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:
                for gate in parameter.data.chunk(3):
                    nn.init.orthogonal_(gate)

    def step(self, features: Tensor, state: Tensor | None) -> Tensor:
        """Return the states after one step of N games, ``[N, H]``.

        Args:
            features: ``[N, F]``.
            state: before the step, ``[N, H]``; None: zeros.
        """
        if state is None:
            state = features.new_zeros(len(features), self.hidden_size)
        # A sequence of length 1 takes half as long again.
        return torch.gru_cell(
            features,
            state,
            self.weight_ih_l0,
            self.weight_hh_l0,
            self.bias_ih_l0,
            self.bias_hh_l0,
        )

    def unroll(self, features: Tensor, state: Tensor, episode_starts: NDArray[np.bool_]) -> Tensor:
        """Return the states after each step of B sequences of L steps, ``[L, B, H]``.

        The sequences are cut where an episode begins and packed by length, so that one call runs
        all of them and computes nothing for padding.

        Args:
            features: ``[L, B, F]``.
            state: before each sequence, ``[B, H]``.
            episode_starts: steps that are the first of an episode, before which the state is zero,
                ``[L, B]``, in host memory: a layout made there lets a GPU run on. Ignored for the
                first of a sequence, which ``state`` precedes.
        """
        packing, device = Packing.of(episode_starts), features.device
        packed = PackedSequence(
            features.flatten(0, 1)[upload(packing.order, device)],
            torch.from_numpy(packing.batch_sizes),
        )
        or_zero = torch.cat([state, state.new_zeros(1, self.hidden_size)])
        states, _ = self(packed, or_zero[upload(packing.sequences, device)][None])
        unrolled: Tensor = states.data[upload(packing.position, device)]
        return unrolled.view(*episode_starts.shape, -1)
