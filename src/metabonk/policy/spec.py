"""The shape of a policy: what it observes, what it can do, and its network."""

from typing import Annotated, Any, Self

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
from metabonk.policy.encoders import Network, feature_size
from metabonk.settings.learning import Learning

Extent = Annotated[int, Field(ge=1, le=4096)]
ImageShape = tuple[Extent, Extent, Annotated[int, Field(ge=1, le=64)]]
VectorShape = tuple[Extent]
MlpLayers = Annotated[tuple[Extent, ...], Field(max_length=16)]

EARLIER_MLP_LAYERS = (128, 128)
"""Layers of every MLP in version 0.2, whose specs don't say so."""


class PolicySpec(BaseModel):
    """The shape of a policy, carried by weights, rollouts and checkpoints.

    Attributes:
        game: id of its game.
        observation_shape: height, width, channels of a uint8 image; or length of a float32 vector.
        action_names: per discrete action, option of each choice, or axis.
        action_kind: of the action space.
        action_sizes: options of each choice of a multi-discrete space; else empty.
        network: encoder of the observations; ``mlp`` for vectors, another for images.
        mlp_layers: sizes of the layers of ``mlp``; empty for another network.
        memory: size H of the recurrent state; 0 without one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    game: str = Field(min_length=1, max_length=200)
    observation_shape: ImageShape | VectorShape
    action_names: tuple[str, ...] = Field(min_length=1, max_length=4096)
    action_kind: ActionKind = ActionKind.DISCRETE
    action_sizes: tuple[Extent, ...] = Field((), max_length=256)
    network: Network = "small"
    mlp_layers: MlpLayers = ()
    memory: int = Field(0, ge=0, le=4096)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("network") == "mlp":
            return {"mlp_layers": EARLIER_MLP_LAYERS} | given
        return given

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.network == "mlp") != (len(self.observation_shape) == 1):
            raise ValueError(
                f"the network {self.network} doesn't take observations of {_shape(self)}"
            )
        if (self.network == "mlp") != bool(self.mlp_layers):
            raise ValueError(f"mlp_layers {self.mlp_layers} don't fit the network {self.network}")
        is_multi = self.action_kind is ActionKind.MULTI_DISCRETE
        if sum(self.action_sizes) != (len(self.action_names) if is_multi else 0):
            raise ValueError(f"action_sizes {self.action_sizes} don't fit the action_names")
        return self

    @classmethod
    def of(cls, game: Game | GameDescription, learning: Learning | None = None) -> Self:
        """Return the spec of a policy for ``game`` with the network of the settings."""
        learning = learning or Learning()
        description = game.description if isinstance(game, Game) else game
        shape = description.observation_shape
        is_vector = len(shape) == 1
        network: Network = "mlp" if is_vector else learning.network
        mlp_layers = learning.mlp_layers if is_vector else ()
        return cls.model_validate(
            {
                "game": description.id,
                "observation_shape": shape,
                "action_names": description.action_names,
                "action_kind": description.action_kind,
                "action_sizes": description.action_sizes,
                "network": network,
                "mlp_layers": mlp_layers,
                "memory": feature_size(network, mlp_layers) if learning.recurrent else 0,
            }
        )

    @property
    def actions(self) -> int:
        """Number of discrete actions, of options of all choices, or of axes."""
        return len(self.action_names)

    @property
    def parameters(self) -> int:
        """Number of parameters of a distribution over actions, P."""
        return self.actions * (2 if self.action_kind is ActionKind.CONTINUOUS else 1)

    @property
    def observation_dtype(self) -> type[np.generic]:
        """Dtype of an observation."""
        return np.float32 if len(self.observation_shape) == 1 else np.uint8

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of an action."""
        match self.action_kind:
            case ActionKind.DISCRETE:
                return ()
            case ActionKind.MULTI_DISCRETE:
                return (len(self.action_sizes),)
            case ActionKind.CONTINUOUS:
                return (self.actions,)

    @property
    def action_dtype(self) -> type[np.generic]:
        """Dtype of an action."""
        return np.float32 if self.action_kind is ActionKind.CONTINUOUS else np.int64

    def distribution(self, parameters: Tensor) -> Distribution:
        """Return the distribution over actions.

        Args:
            parameters: output of the network, ``[…, P]``: logits; or means, then log deviations.
        """
        match self.action_kind:
            case ActionKind.DISCRETE:
                return Categorical(parameters)
            case ActionKind.MULTI_DISCRETE:
                return MultiCategorical(parameters, self.action_sizes)
            case ActionKind.CONTINUOUS:
                return DiagonalGaussian(parameters)

    def difference(self, other: "PolicySpec") -> str | None:
        """Describe why ``other`` doesn't fit this spec; None if they are equal."""
        if other.game != self.game:
            return f"it is for the game {other.game}, not {self.game}"
        if other.observation_shape != self.observation_shape:
            return (
                f"it observes {_shape(other)}, but {self.game} shows {_shape(self)} here; see "
                "learning.observation and learning.frame_stack"
            )
        if other.action_kind is not self.action_kind:
            return (
                f"its actions are {_kind_name(other.action_kind)}, but those of {self.game} are "
                f"{_kind_name(self.action_kind)} here"
            )
        if (other.action_names, other.action_sizes) != (self.action_names, self.action_sizes):
            return (
                f"its {other.actions} actions ({_action_list(other)}) are not the "
                f"{self.actions} of {self.game} here ({_action_list(self)})"
            )
        if (mine := _network_name(self)) != (theirs := _network_name(other)):
            name = "mlp_layers" if self.mlp_layers else "network"
            return (
                f"it has {theirs}, but the settings say {mine}; see learning.{name} and "
                "learning.recurrent"
            )
        return None


def _shape(spec: PolicySpec) -> str:
    if len(spec.observation_shape) == 1:
        return f"{spec.observation_shape[0]} numbers"
    return "×".join(map(str, spec.observation_shape))


def _kind_name(kind: ActionKind) -> str:
    return kind.value.replace("_", "-")


def _action_list(spec: PolicySpec) -> str:
    names = ", ".join(spec.action_names[:40])
    return f"{names}, …" if spec.actions > 40 else names


def _network_name(spec: PolicySpec) -> str:
    memory = f"a recurrent state of {spec.memory}" if spec.memory else "no recurrent state"
    layers = f" of {'×'.join(map(str, spec.mlp_layers))}" if spec.mlp_layers else ""
    return f"the network {spec.network}{layers} with {memory}"
