"""What a worker lived through, on its way to the learner."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from metabonk.errors import WireError
from metabonk.games import Transition
from metabonk.policy.actor import Decision
from metabonk.policy.spec import PolicySpec
from metabonk.policy.wire import Array, pack, unpack

LARGEST_REWARD = 1e6
"""Of one decision, either sign. Beyond it a broken game is likelier than a generous one."""

LARGEST_STEPS = 1024
"""Decisions a rollout may hold; the settings allow no more either."""


class EndedEpisode(BaseModel, frozen=True):
    """An episode that ended in a rollout.

    Attributes:
        total_reward: unshaped return.
        length: decisions.
    """

    total_reward: float = Field(allow_inf_nan=False)
    length: int = Field(ge=1)


class RolloutHeader(BaseModel):
    """What a rollout says of itself."""

    kind: Literal["rollout"] = "rollout"
    spec: PolicySpec
    episodes: tuple[EndedEpisode, ...] = Field((), max_length=LARGEST_STEPS)


@dataclass(frozen=True)
class Rollout:
    """T consecutive decisions and T+1 observations, so that no value has to be guessed.

    A truncated episode ends its rollout, which may then be shorter than others: observation T is
    what the game really showed last, and its value stands for what would have followed. After a
    termination inside, the next observation is the first one of the next episode.

    Attributes:
        spec: of the policy that acted.
        observations: ``[T+1, C, H, W]`` uint8.
        actions: ``[T]`` int64.
        log_probs: of the chosen actions, under the policy that chose; ``[T]`` float32.
        rewards: to learn from, shaping included, unscaled; ``[T]`` float32.
        terminated: ``[T]`` bool.
        truncated: ``[T]`` bool, true at most for the last.
        versions: of the weights that chose, ``[T]`` int64.
        episodes: that ended in it, oldest first.
    """

    spec: PolicySpec
    observations: NDArray[np.uint8]
    actions: NDArray[np.int64]
    log_probs: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    versions: NDArray[np.int64]
    episodes: tuple[EndedEpisode, ...] = ()

    def __len__(self) -> int:
        """How many decisions it holds, T."""
        return len(self.actions)

    def to_bytes(self) -> bytes:
        """As safetensors."""
        arrays = {name: getattr(self, name) for name in (*_STEP_DTYPES, "observations")}
        return pack(arrays, RolloutHeader(spec=self.spec, episodes=self.episodes))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Rollout":
        """A rollout from anywhere.

        Raises:
            WireError: says what is wrong with it.
        """
        arrays, header = unpack(data, RolloutHeader)
        spec = header.spec
        if missing := sorted(arrays.keys() ^ {*_STEP_DTYPES, "observations"}):
            raise WireError(f"the rollout lacks, or should not have, {', '.join(missing[:8])}")
        actions = arrays["actions"]
        steps = actions.shape[0] if actions.ndim == 1 else 0
        if not 1 <= steps <= LARGEST_STEPS:
            raise WireError(
                f"the rollout's actions have the shape {actions.shape}; "
                f"expected 1 to {LARGEST_STEPS} in a row"
            )
        for name, dtype in _STEP_DTYPES.items():
            _require(arrays[name], name, dtype, (steps,))
        _require(
            arrays["observations"], "observations", np.uint8, (steps + 1, *spec.observation_shape)
        )
        rollout = cls(spec=spec, episodes=header.episodes, **arrays)
        rollout._check_values()
        return rollout

    def _check_values(self) -> None:
        if self.actions.min() < 0 or self.actions.max() >= self.spec.actions:
            raise WireError(
                f"the rollout's actions reach from {self.actions.min()} to {self.actions.max()}; "
                f"{self.spec.game} has {self.spec.actions}, from 0"
            )
        if not (np.isfinite(self.log_probs).all() and self.log_probs.max() <= 0):
            raise WireError("the rollout's log-probabilities are not all finite and at most 0")
        if not np.isfinite(self.rewards).all() or np.abs(self.rewards).max() > LARGEST_REWARD:
            raise WireError(
                f"the rollout's rewards are not all finite and within ±{LARGEST_REWARD:g}"
            )
        if self.versions.min() < 0:
            raise WireError(f"the rollout has the policy version {self.versions.min()}, below 0")
        if self.truncated[:-1].any():
            raise WireError("the rollout goes on after a truncated episode; it must end there")
        if (self.truncated & self.terminated).any():
            raise WireError("the rollout has a step that is both terminated and truncated")


_STEP_DTYPES = {
    "actions": np.int64,
    "log_probs": np.float32,
    "rewards": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "versions": np.int64,
}


def _require(array: Array, name: str, dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise WireError(
            f"the rollout's {name} are {array.dtype} {array.shape}; "
            f"expected {np.dtype(dtype)} {shape}"
        )


class RolloutBuilder:
    """Gathers decisions until they are a rollout.

    Args:
        spec: of the policy that acts.
        steps: decisions a rollout holds, unless a truncation ends it before.
    """

    def __init__(self, spec: PolicySpec, steps: int) -> None:
        self._spec = spec
        self._steps = steps
        self._observations: list[NDArray[np.uint8]] = []
        self._decisions: list[Decision] = []
        self._moves: list[Transition] = []
        self._versions: list[int] = []
        self._episodes: list[EndedEpisode] = []
        self._total_reward = 0.0
        self._length = 0

    def add(
        self, observation: NDArray[np.uint8], decision: Decision, moved: Transition, version: int
    ) -> Rollout | None:
        """Adds one decision.

        Args:
            observation: what it was made on.
            decision: what was chosen.
            moved: what it led to.
            version: of the weights that chose.

        Returns:
            The rollout, when this completes it.
        """
        self._observations.append(observation)
        self._decisions.append(decision)
        self._moves.append(moved)
        self._versions.append(version)
        self._total_reward += moved.reward
        self._length += 1
        if moved.terminated or moved.truncated:
            ended = EndedEpisode(total_reward=self._total_reward, length=self._length)
            self._episodes.append(ended)
            self._total_reward, self._length = 0.0, 0
        if len(self._moves) < self._steps and not moved.truncated:
            return None
        rollout = Rollout(
            spec=self._spec,
            observations=np.stack([*self._observations, moved.observation]),
            actions=np.array([d.action for d in self._decisions], np.int64),
            log_probs=np.array([d.log_prob for d in self._decisions], np.float32),
            rewards=np.array([m.reward + m.shaping for m in self._moves], np.float32),
            terminated=np.array([m.terminated for m in self._moves], np.bool_),
            truncated=np.array([m.truncated for m in self._moves], np.bool_),
            versions=np.array(self._versions, np.int64),
            episodes=tuple(self._episodes),
        )
        for gathered in (
            self._observations,
            self._decisions,
            self._moves,
            self._versions,
            self._episodes,
        ):
            gathered.clear()
        return rollout
