"""The recurrent layer: one step of several games, or whole sequences at once."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


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

        What is computed depends on the shapes alone, so that a GPU can record and repeat it. Only
        what can't be done for all steps at once is done step by step. On a CPU this takes no longer
        than PyTorch's own sequences, cut where an episode begins and packed by length.

        Args:
            features: ``[L, B, F]``.
            state: before each sequence, ``[B, H]``, without gradient.
            episode_starts: steps before which the state is zero, ``[L, B]`` bool.
        """
        inputs = functional.linear(features, self.weight_ih_l0, self.bias_ih_l0)
        kept = episode_starts.logical_not().to(features.dtype)[..., None]
        states, previous = self._run(inputs.detach(), state, kept)
        if not torch.is_grad_enabled():
            return states
        hidden = functional.linear(previous, self.weight_hh_l0, self.bias_hh_l0)
        step = _Step.of(inputs, hidden, previous)
        with torch.no_grad():
            gradients = step.gradients(previous) * kept[..., None]
            identity = torch.eye(self.hidden_size, dtype=kept.dtype, device=kept.device)
            weights = torch.cat([self.weight_hh_l0, identity])
        through_time: Tensor = _ThroughTime.apply(  # type: ignore[no-untyped-call]
            step.states, gradients, weights
        )
        return through_time

    @torch.no_grad()
    def _run(self, inputs: Tensor, state: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states after each step and those before it, ``[L, B, H]`` each."""
        states, previous = [state], []
        weights = self.weight_hh_l0.t()
        for now, keep in zip(inputs, kept, strict=True):
            previous.append(states[-1] * keep)
            hidden = torch.addmm(self.bias_hh_l0, previous[-1], weights)
            states.append(_Step.of(now, hidden, previous[-1]).states)
        return torch.stack(states[1:]), torch.stack(previous)


class _Step(NamedTuple):
    """A step of the layer, or several: gates and states, ``[…, H]`` each.

    Attributes:
        reset: gate of what the candidate takes from the state before.
        update: gate of what stays of the state before.
        recalled: what the candidate takes, before the gate.
        candidate: for the state.
        states: after the step.
    """

    reset: Tensor
    update: Tensor
    recalled: Tensor
    candidate: Tensor
    states: Tensor

    @classmethod
    def of(cls, inputs: Tensor, hidden: Tensor, previous: Tensor) -> "_Step":
        """Make the step.

        Args:
            inputs: projected features, ``[…, 3·H]``.
            hidden: projected states before the step, ``[…, 3·H]``.
            previous: states before the step, ``[…, H]``.
        """
        gates = 2 * previous.shape[-1]
        reset, update = torch.sigmoid_(inputs[..., :gates] + hidden[..., :gates]).chunk(2, -1)
        recalled = hidden[..., gates:]
        candidate = torch.addcmul(inputs[..., gates:], reset, recalled).tanh_()
        states = torch.lerp(candidate, previous, update)
        return cls(reset, update, recalled, candidate, states)

    def gradients(self, previous: Tensor) -> Tensor:
        """Return the derivatives of the states, ``[…, 4, H]``.

        By each part of ``hidden``, and by the states before the step themselves.
        """
        candidate = (1 - self.update) * (1 - self.candidate.square())
        reset = candidate * self.recalled * self.reset * (1 - self.reset)
        update = (previous - self.candidate) * self.update * (1 - self.update)
        return torch.stack([reset, update, candidate * self.reset, self.update], -2)


class _ThroughTime(torch.autograd.Function):
    """The states, whose gradients include those of all later states."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, gradients: Tensor, weights: Tensor) -> Tensor:
        """Return the states.

        Args:
            ctx: of PyTorch.
            states: after each step, ``[L, B, H]``.
            gradients: by what the states before were projected to, ``[L, B, 4, H]``.
            weights: of that projection, ``[4·H, H]``.
        """
        ctx.save_for_backward(gradients, weights)
        return states.view_as(states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Add to the gradient of each state what reaches it from the next one, last to first."""
        gradients, weights = ctx.saved_tensors
        total = gradient.clone()
        for step in range(len(total) - 1, 0, -1):
            by_part = (gradients[step] * total[step].unsqueeze(1)).flatten(1)
            torch.addmm(gradient[step - 1], by_part, weights, out=total[step - 1])
        return total, None, None
