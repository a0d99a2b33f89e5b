"""What a policy sees, what it can do, and what it is made of."""

from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from metabonk.games import ActionKind, Game, GameDescription
from metabonk.policy.distributions import (
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
)
from metabonk.policy.encoders import Network, features_of
from metabonk.settings.schema import Learning

Extent = Annotated[int, Field(ge=1, le=4096)]
Picture = tuple[Extent, Extent, Annotated[int, Field(ge=1, le=64)]]
Numbers = tuple[Extent]


class PolicySpec(BaseModel):
    """The shape of a policy, which weights, rollouts and checkpoints carry with them.

    Attributes:
        game: id of the game it is for.
        observation_shape: height, width, channels of a uint8 picture; or the length of a row of
            float32 numbers.
        action_names: one a discrete action, one an option of each choice in turn, or one an axis.
        action_kind: what an action is made of.
        action_sizes: options of each choice, where there are several.
        network: what makes features of an observation; ``mlp`` for numbers, another for pictures.
        memory: length H of its recurrent state; 0 without one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    game: str = Field(min_length=1, max_length=200)
    observation_shape: Picture | Numbers
    action_names: tuple[str, ...] = Field(min_length=1, max_length=4096)
    action_kind: ActionKind = ActionKind.DISCRETE
    action_sizes: tuple[Extent, ...] = Field((), max_length=256)
    network: Network = "small"
    memory: int = Field(0, ge=0, le=4096)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if (self.network == "mlp") != (len(self.observation_shape) == 1):
            raise ValueError(f"the network {self.network} doesn't take {_shape(self)}")
        several = self.action_kind is ActionKind.MULTI_DISCRETE
        if sum(self.action_sizes) != (len(self.action_names) if several else 0):
            raise ValueError(f"action_sizes {self.action_sizes} don't fit the action_names")
        return self

    @classmethod
    def of(cls, game: Game | GameDescription, learning: Learning | None = None) -> Self:
        """The spec of a policy for ``game``, made as the settings say."""
        learning = learning or Learning()
        description = game.description if isinstance(game, Game) else game
        shape = description.observation_shape
        network: Network = "mlp" if len(shape) == 1 else learning.network
        return cls.model_validate(
            {
                "game": description.id,
                "observation_shape": shape,
                "action_names": description.action_names,
                "action_kind": description.action_kind,
                "action_sizes": description.action_sizes,
                "network": network,
                "memory": features_of(network) if learning.recurrent else 0,
            }
        )

    @property
    def actions(self) -> int:
        """How many discrete actions there are, options of all choices, or axes."""
        return len(self.action_names)

    @property
    def observation_dtype(self) -> type[np.generic]:
        """Of one observation."""
        return np.float32 if len(self.observation_shape) == 1 else np.uint8

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Of one action."""
        match self.action_kind:
            case ActionKind.DISCRETE:
                return ()
            case ActionKind.MULTI_DISCRETE:
                return (len(self.action_sizes),)
            case ActionKind.CONTINUOUS:
                return (self.actions,)

    @property
    def action_dtype(self) -> type[np.generic]:
        """Of one action."""
        return np.float32 if self.action_kind is ActionKind.CONTINUOUS else np.int64

    def distribution(self, parameters: Tensor) -> Distribution:
        """What the policy may do.

        Args:
            parameters: as the network gives them, ``[…, P]``: logits, or means and logarithms of
                deviations.
        """
        match self.action_kind:
            case ActionKind.DISCRETE:
                return Categorical(parameters)
            case ActionKind.MULTI_DISCRETE:
                return MultiCategorical(parameters, self.action_sizes)
            case ActionKind.CONTINUOUS:
                return DiagonalGaussian(parameters)

    def difference(self, other: "PolicySpec") -> str | None:
        """What keeps ``other`` from fitting this spec, in words; None when they are the same."""
        if other.game != self.game:
            return f"it is for the game {other.game}, and this is {self.game}"
        if other.observation_shape != self.observation_shape:
            return f"it sees {_shape(other)}, and {self.game} shows {_shape(self)} here"
        if other.action_kind is not self.action_kind:
            return (
                f"its actions are {_words(other.action_kind)}, and those of {self.game} are "
                f"{_words(self.action_kind)} here"
            )
        if (other.action_names, other.action_sizes) != (self.action_names, self.action_sizes):
            return (
                f"its {other.actions} actions ({_shown(other)}) are not the "
                f"{self.actions} of {self.game} here ({_shown(self)})"
            )
        if (other.network, other.memory) != (self.network, self.memory):
            return (
                f"it has {_made(other)}, and the settings say {_made(self)}; see learning.network "
                "and learning.recurrent"
            )
        return None


def _shape(spec: PolicySpec) -> str:
    if len(spec.observation_shape) == 1:
        return f"{spec.observation_shape[0]} numbers"
    return "×".join(map(str, spec.observation_shape))


def _words(kind: ActionKind) -> str:
    return kind.value.replace("_", "-")


def _shown(spec: PolicySpec) -> str:
    names = ", ".join(spec.action_names[:40])
    return f"{names}, …" if spec.actions > 40 else names


def _made(spec: PolicySpec) -> str:
    memory = f"a memory of {spec.memory}" if spec.memory else "no memory"
    return f"the network {spec.network} with {memory}"
