"""What a policy sees and what it can do."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from metabonk.games import Game, GameDescription
from metabonk.settings.schema import NetworkKind

Extent = Annotated[int, Field(ge=1, le=4096)]


class PolicySpec(BaseModel):
    """The shape of a policy, which weights, rollouts and checkpoints carry with them.

    Attributes:
        game: id of the game it is for.
        observation_shape: channels, height, width of the uint8 observation.
        action_names: one a discrete action.
        network: the kind of its network.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    game: str = Field(min_length=1, max_length=200)
    observation_shape: tuple[Annotated[int, Field(ge=1, le=64)], Extent, Extent]
    action_names: tuple[str, ...] = Field(min_length=1, max_length=4096)
    network: NetworkKind = NetworkKind.SMALL

    @classmethod
    def of(
        cls, game: Game | GameDescription, network: NetworkKind = NetworkKind.SMALL
    ) -> "PolicySpec":
        """The spec of a policy for ``game`` with this kind of network."""
        return cls(
            game=game.id,
            observation_shape=game.observation_shape,
            action_names=game.action_names,
            network=network,
        )

    @property
    def actions(self) -> int:
        """How many discrete actions there are."""
        return len(self.action_names)

    def difference(self, other: "PolicySpec") -> str | None:
        """What keeps ``other`` from fitting this spec, in words; None when they are the same."""
        if other.game != self.game:
            return f"it is for the game {other.game}, and this is {self.game}"
        if other.observation_shape != self.observation_shape:
            return (
                f"it sees {_shape(other.observation_shape)}, "
                f"and {self.game} shows {_shape(self.observation_shape)} here"
            )
        if other.action_names != self.action_names:
            return (
                f"its {other.actions} actions ({', '.join(other.action_names)}) are not the "
                f"{self.actions} of {self.game} here ({', '.join(self.action_names)})"
            )
        if other.network != self.network:
            return (
                f"its network is of the kind {other.network}, and this one is {self.network} "
                "(learning.network)"
            )
        return None


def _shape(shape: tuple[int, int, int]) -> str:
    return "×".join(map(str, shape))
