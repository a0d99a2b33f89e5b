"""The recurrent layer: one step of several games, or whole sequences at once."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


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

    def unroll(self, features: Tensor, state: Tensor, episode_starts: Tensor) -> Tensor:
        """Return the states after each step of B sequences of L steps, ``[L, B, H]``.

        The sequences are cut where an episode begins and packed by length, so that one call runs
        all of them and computes nothing for padding.

        Args:
            features: ``[L, B, F]``.
            state: before each sequence, ``[B, H]``.
            episode_starts: steps that are the first of an episode, before which the state is zero,
                ``[L, B]`` bool; ignored for the first of a sequence, which ``state`` precedes.
        """
        length, count = episode_starts.shape
        starts = episode_starts.clone()
        starts[0] = True
        # Sequence after sequence, so that the steps of a segment are adjacent.
        begins = starts.T.flatten().nonzero().squeeze(1)
        steps = torch.arange(length * count, device=features.device)
        segment = starts.T.flatten().cumsum(0) - 1
        position = steps - begins[segment]
        sizes = torch.diff(begins, append=begins.new_tensor([length * count]))
        by_size = sizes.argsort(descending=True, stable=True)
        rank = torch.empty_like(by_size)
        rank[by_size] = torch.arange(len(by_size), device=features.device)
        order = (position * len(sizes) + rank[segment]).argsort()
        initial = torch.where(
            (begins % length == 0)[:, None], state[begins // length], state.new_zeros(())
        )
        packed = PackedSequence(
            features.transpose(0, 1).flatten(0, 1)[order], position.bincount().cpu()
        )
        states, _ = self(packed, initial[by_size][None])
        unpacked = torch.empty_like(order)
        unpacked[order] = steps
        unrolled: Tensor = states.data[unpacked].view(count, length, -1).transpose(0, 1)
        return unrolled
