"""A policy as a computation from observation to action, for other programs to run."""

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from pydantic import BaseModel, JsonValue
from torch import Tensor, nn

from metabonk.games import ActionKind
from metabonk.games.gym_actions import Actions
from metabonk.inference.trained import Trained
from metabonk.policy import ActorCritic
from metabonk.policy.distributions import Categorical, DiagonalGaussian


class ProgramInfo(BaseModel):
    """Metadata of a program, as JSON in its file.

    Attributes:
        metabonk: version that exported it.
        run: name of the run that trained it.
        policy_version: number of updates behind its weights.
        game: id of its game.
        env_args: arguments of the environment's constructor.
        observation_shape: height, width, channels of a uint8 image; or length of a float32 vector.
        frame_stack: images in an observation, the oldest channels first.
        action_kind: of the action space.
        action_names: per discrete action, option of each choice, or axis.
        action_sizes: options of each choice of a multi-discrete space; else empty.
        memory: size H of the recurrent state; 0 without one.
    """

    metabonk: str
    run: str
    policy_version: int
    game: str
    env_args: dict[str, JsonValue]
    observation_shape: tuple[int, ...]
    frame_stack: int
    action_kind: ActionKind
    action_names: tuple[str, ...]
    action_sizes: tuple[int, ...]
    memory: int

    @classmethod
    def of(cls, trained: Trained) -> "ProgramInfo":
        """Describe a trained policy."""
        spec = trained.network.spec
        return cls(
            metabonk=version("metabonk"),
            run=trained.run,
            policy_version=trained.version,
            game=spec.game,
            env_args=trained.settings.learning.env_args,
            observation_shape=spec.observation_shape,
            frame_stack=trained.interface.frame_stack,
            action_kind=spec.action_kind,
            action_names=spec.action_names,
            action_sizes=spec.action_sizes,
            memory=spec.memory,
        )


class Program(nn.Module):
    """A network with normalization before it and the environment's units after it.

    Args:
        network: to act with.
        actions: conversion to the environment's actions.
    """

    def __init__(self, network: ActorCritic, actions: Actions) -> None:
        super().__init__()
        self._network = network
        self._choose: nn.Module = _CHOOSERS[actions.kind](actions)

    def forward(self, observation: Tensor, memory: Tensor | None = None) -> dict[str, Tensor]:
        """Choose the most likely action for each of N observations.

        Args:
            observation: of the policy, ``[N, …]``.
            memory: recurrent state, ``[N, H]`` float32; zeros at the start of an episode. None
                without one.

        Returns:
            ``action`` as the environment takes it, ``[N, …]``; ``value`` in reward units, ``[N]``
            float32; ``probabilities`` of every option, ``[N, A]`` float32, or for continuous
            actions ``mean`` and ``std`` in the environment's units; ``next_memory`` if recurrent.
        """
        output = self._network(observation, memory)
        results: dict[str, Tensor] = self._choose(output.parameters)
        results["value"] = self._network.denormalize(output.values)
        if memory is not None:
            results["next_memory"] = output.memory
        return results

    @property
    def examples(self) -> dict[str, Tensor]:
        """Arguments of ``forward`` by name, for a batch of two."""
        spec = self._network.spec
        shape = (2, *spec.observation_shape)
        observation = torch.from_numpy(np.zeros(shape, spec.observation_dtype))
        memory = {"memory": torch.zeros(2, spec.memory)} if spec.memory else {}
        return {"observation": observation, **memory}


class _Option(nn.Module):
    """Discrete actions, through a table of the environment's."""

    table: Tensor

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        table = np.array([actions.to_env(index) for index in range(len(actions.names))])
        if table.dtype == np.float64:  # The buttons of Doom.
            table = table.astype(np.float32)
        self.register_buffer("table", torch.from_numpy(table))

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        policy = Categorical(logits)
        action = self.table[policy.log_probs.argmax(-1)]
        return {"action": action, "probabilities": policy.probabilities()}


class _Choices(nn.Module):
    """Several choices at once, each counted from the environment's first option."""

    first: Tensor

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self._sizes = list(actions.sizes)
        first = actions.to_env(np.zeros(len(actions.sizes), np.int64))
        self.register_buffer("first", torch.from_numpy(first))

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        choices = [Categorical(part) for part in torch.split(logits, self._sizes, -1)]
        chosen = torch.stack([choice.log_probs.argmax(-1) for choice in choices], -1)
        offsets = chosen.reshape(-1, *self.first.shape).to(self.first.dtype)
        probabilities = torch.cat([choice.probabilities() for choice in choices], -1)
        return {"action": self.first + offsets, "probabilities": probabilities}


class _Axes(nn.Module):
    """Continuous actions, scaled and clipped to the environment's bounds."""

    middle: Tensor
    reach: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        assert actions.scale is not None, "continuous actions have a scale"
        for name, values in actions.scale._asdict().items():
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, parameters: Tensor) -> dict[str, Tensor]:
        policy = DiagonalGaussian(parameters)
        mean = self.middle + self.reach * policy.mean.reshape(-1, *self.middle.shape)
        std = self.reach * policy.std.reshape(-1, *self.middle.shape)
        action = mean.to(self.low.dtype).clamp(self.low, self.high)
        return {"action": action, "mean": mean.float(), "std": std.float()}


_CHOOSERS: dict[ActionKind, Callable[[Actions], nn.Module]] = {
    ActionKind.DISCRETE: _Option,
    ActionKind.MULTI_DISCRETE: _Choices,
    ActionKind.CONTINUOUS: _Axes,
}
