"""What a worker lived through, on its way to the learner."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from metabonk.errors import WireError
from metabonk.games import ActionKind, Observation, Transition
from metabonk.messages import MAX_EPISODE_STEPS
from metabonk.policy.actor import Decision
from metabonk.policy.serialization import Array, pack, unpack
from metabonk.policy.spec import PolicySpec

LARGEST_REWARD = 1e6
"""Of one decision, either sign. Beyond it a broken game is likelier than a generous one."""

LARGEST_STEPS = 1024
"""Decisions a rollout may hold; the settings allow no more either."""


LARGEST_RETURN = LARGEST_REWARD * 1e6
"""Of an episode, either sign: as many decisions as none has."""

Return = Annotated[float, Field(ge=-LARGEST_RETURN, le=LARGEST_RETURN)]


class EndedEpisode(BaseModel):
    """An episode that ended in a rollout; it may have begun in an earlier one.

    Attributes:
        total_reward: unshaped return.
        length: policy decisions.
    """

    total_reward: Return
    length: int = Field(ge=1, le=MAX_EPISODE_STEPS)


class RolloutHeader(BaseModel):
    """What a rollout says of itself.

    Attributes:
        kind: tells it from weights.
        spec: of the policy that acted.
        episodes: that ended in it.
    """

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
        observations: ``[T+1, …]``, as the spec says.
        actions: ``[T]`` int64, or ``[T, K]`` as the spec says.
        log_probs: of the chosen actions, under the policy that chose; ``[T]`` float32.
        rewards: to learn from, shaping included, unscaled; ``[T]`` float32.
        terminated: ``[T]`` bool.
        truncated: ``[T]`` bool, true at most for the last.
        versions: of the weights that chose, ``[T]`` int64.
        memory: the recurrent state before the first decision, ``[H]`` float32; H is 0 without one.
        episodes: that ended in it.
    """

    spec: PolicySpec
    observations: NDArray[Any]
    actions: NDArray[Any]
    log_probs: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    versions: NDArray[np.int64]
    memory: NDArray[np.float32]
    episodes: tuple[EndedEpisode, ...] = ()

    def __len__(self) -> int:
        """How many decisions it holds, T."""
        return len(self.actions)

    def to_bytes(self) -> bytes:
        """As safetensors."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return pack(arrays, RolloutHeader(spec=self.spec, episodes=self.episodes))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Rollout":
        """A rollout from anywhere.

        Raises:
            WireError: says what is wrong with it.
        """
        arrays, header = unpack(data, RolloutHeader)
        spec = header.spec
        if wrong := sorted(arrays.keys() ^ {*_ARRAYS}):
            raise WireError(f"the rollout lacks, or should not have, {', '.join(wrong[:8])}")
        steps = arrays["rewards"].shape[0] if arrays["rewards"].ndim == 1 else 0
        if not 1 <= steps <= LARGEST_STEPS:
            raise WireError(
                f"the rollout's rewards have the shape {arrays['rewards'].shape}; "
                f"expected 1 to {LARGEST_STEPS} in a row"
            )
        for name, dtype in _STEP_DTYPES.items():
            _require(arrays[name], name, dtype, (steps,))
        _require(arrays["actions"], "actions", spec.action_dtype, (steps, *spec.action_shape))
        shape = (steps + 1, *spec.observation_shape)
        _require(arrays["observations"], "observations", spec.observation_dtype, shape)
        _require(arrays["memory"], "memory", np.float32, (spec.memory,))
        rollout = cls(spec=spec, episodes=header.episodes, **arrays)
        rollout._check_values()
        return rollout

    def _check_values(self) -> None:
        for name, words in _MUST_BE_FINITE.items():
            if not np.isfinite(getattr(self, name)).all():
                raise WireError(f"the rollout's {words} are not all finite")
        if self.spec.action_kind is not ActionKind.CONTINUOUS:
            self._check_choices()
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

    def _check_choices(self) -> None:
        sizes = self.spec.action_sizes or (self.spec.actions,)
        for choice, size in zip(np.reshape(self.actions, (len(self), -1)).T, sizes, strict=True):
            if choice.min() < 0 or choice.max() >= size:
                raise WireError(
                    f"the rollout's actions reach from {choice.min()} to {choice.max()}; "
                    f"{self.spec.game} has {size}, from 0"
                )
        if self.log_probs.max() > 0:
            raise WireError("the rollout's log-probabilities are not all at most 0")


_STEP_DTYPES = {
    "log_probs": np.float32,
    "rewards": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "versions": np.int64,
}
_MUST_BE_FINITE = {
    "observations": "observations",
    "memory": "numbers of its memory",
    "actions": "actions",
    "log_probs": "log-probabilities",
}
_ARRAYS = (*_STEP_DTYPES, "observations", "actions", "memory")


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
        self._observations: list[Observation] = []
        self._decisions: list[Decision] = []
        self._moves: list[Transition] = []
        self._versions: list[int] = []
        self._episodes: list[EndedEpisode] = []
        self._total_reward = 0.0
        self._length = 0

    def add(
        self, observation: Observation, decision: Decision, moved: Transition, version: int
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
        self._count(moved)
        if len(self._moves) < self._steps and not moved.truncated:
            return None
        spec, memory = self._spec, self._decisions[0].memory
        rollout = Rollout(
            spec=spec,
            observations=np.stack([*self._observations, moved.observation]),
            actions=np.array([d.action for d in self._decisions], spec.action_dtype),
            log_probs=np.array([d.log_prob for d in self._decisions], np.float32),
            rewards=np.array([m.reward + m.shaping for m in self._moves], np.float32),
            terminated=np.array([m.terminated for m in self._moves], np.bool_),
            truncated=np.array([m.truncated for m in self._moves], np.bool_),
            versions=np.array(self._versions, np.int64),
            memory=np.zeros(0, np.float32) if memory is None else memory,
            episodes=tuple(self._episodes),
        )
        for gathered in (self._observations, self._decisions, self._moves, self._versions):
            gathered.clear()
        self._episodes.clear()
        return rollout

    def _count(self, moved: Transition) -> None:
        self._total_reward += moved.reward
        self._length += 1
        if moved.terminated or moved.truncated:
            self._episodes.append(
                EndedEpisode.model_construct(total_reward=self._total_reward, length=self._length)
            )
            self._total_reward, self._length = 0.0, 0
