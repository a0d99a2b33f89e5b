"""Rollouts: steps of one game on their way from worker to learner."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor

from metabonk.errors import WireError
from metabonk.games import ActionKind, Observation, Transition
from metabonk.messages.base import MAX_EPISODE_STEPS
from metabonk.policy.actor import Decision
from metabonk.policy.serialization import Array, Data, pack, unpack
from metabonk.policy.spec import PolicySpec
from metabonk.policy.transfer import upload

MAX_REWARD = 1e6
"""Magnitude of one step's reward. Beyond it, a broken game is likelier than a generous one."""

MAX_STEPS = 1024
"""Steps in one rollout, as in the settings."""

MAX_RETURN = MAX_REWARD * 1e6
"""Magnitude of an episode's return: no episode has that many steps."""

Return = Annotated[float, Field(ge=-MAX_RETURN, le=MAX_RETURN)]


class EpisodeEnd(BaseModel):
    """A finished episode, in the rollout that it ended in; it may have begun in an earlier one.

    Attributes:
        total_reward: unshaped return.
        length: policy steps.
    """

    total_reward: Return
    length: int = Field(ge=1, le=MAX_EPISODE_STEPS)


class RolloutHeader(BaseModel):
    """Header of a rollout's safetensors.

    Attributes:
        kind: distinguishes it from weights.
        spec: of the policy that acted.
        episodes: that ended in it.
    """

    kind: Literal["rollout"] = "rollout"
    spec: PolicySpec
    episodes: tuple[EpisodeEnd, ...] = Field((), max_length=MAX_STEPS)


@dataclass(frozen=True)
class Rollout:
    """T consecutive steps and T+1 observations, so that no value has to be guessed.

    A truncated episode ends its rollout, which may then be shorter than others: observation T is
    the true last one, and its value stands for what would have followed. After a termination
    inside the rollout, the next observation is the first of the next episode.

    Attributes:
        spec: of the policy that acted.
        observations: ``[T+1, …]``, as the spec says.
        actions: ``[T]`` int64, or ``[T, K]`` as the spec says.
        log_probs: of the chosen actions, under the behavior policy; ``[T]`` float32.
        rewards: to learn from, shaping included, unscaled; ``[T]`` float32.
        terminated: ``[T]`` bool; also where a life was lost, which ends no episode of ``episodes``.
        truncated: ``[T]`` bool; only the last may be true.
        versions: of the behavior policy's weights, ``[T]`` int64.
        memory: the recurrent state before the first step, ``[H]`` float32; H is 0 without one.
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
    episodes: tuple[EpisodeEnd, ...] = ()
    _uploaded: dict[torch.device, Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __len__(self) -> int:
        """Return the number of steps, T."""
        return len(self.actions)

    def observations_on(self, device: torch.device) -> Tensor:
        """Return the observations as a tensor on a device, uploading them the first time.

        The upload is only enqueued. On the CPU the tensor shares their memory.
        """
        if device not in self._uploaded:
            self._uploaded[device] = upload(self.observations, device)
        return self._uploaded[device]

    def to_bytes(self) -> bytes:
        """Encode the rollout as safetensors."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return pack(arrays, RolloutHeader(spec=self.spec, episodes=self.episodes))

    @classmethod
    def from_bytes(cls, data: Data) -> "Rollout":
        """Decode a rollout from an untrusted source.

        Raises:
            WireError: it is no rollout; says what is wrong with it.
        """
        arrays, header = unpack(data, RolloutHeader)
        spec = header.spec
        if wrong := sorted(arrays.keys() ^ {*_ARRAYS}):
            raise WireError(f"the rollout lacks, or should not have, {', '.join(wrong[:8])}")
        steps = arrays["rewards"].shape[0] if arrays["rewards"].ndim == 1 else 0
        if not 1 <= steps <= MAX_STEPS:
            raise WireError(
                f"the rollout's rewards have the shape {arrays['rewards'].shape}; "
                f"expected 1 to {MAX_STEPS} in a row"
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
            array = getattr(self, name)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise WireError(f"the rollout's {words} are not all finite")
        if self.spec.action_kind is not ActionKind.CONTINUOUS:
            self._check_choices()
        if not np.isfinite(self.rewards).all() or np.abs(self.rewards).max() > MAX_REWARD:
            raise WireError(f"the rollout's rewards are not all finite and within ±{MAX_REWARD:g}")
        if self.versions.min() < 0:
            raise WireError(f"the rollout has the policy version {self.versions.min()}, below 0")
        if self.truncated[:-1].any():
            raise WireError("the rollout continues after a truncated episode; it must end there")
        if (self.truncated & self.terminated).any():
            raise WireError("the rollout has a step that is both terminated and truncated")

    def _check_choices(self) -> None:
        sizes = self.spec.action_sizes or (self.spec.actions,)
        for choice, size in zip(np.reshape(self.actions, (len(self), -1)).T, sizes, strict=True):
            if choice.min() < 0 or choice.max() >= size:
                raise WireError(
                    f"the rollout's actions range from {choice.min()} to {choice.max()}; "
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
    "memory": "numbers in memory",
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
    """Gathers steps of one game into rollouts.

    Args:
        spec: of the policy that acts.
        steps: in a rollout, unless a truncation ends it early.
    """

    def __init__(self, spec: PolicySpec, steps: int) -> None:
        self._spec = spec
        self._steps = steps
        self._observations: list[Observation] = []
        self._decisions: list[Decision] = []
        self._transitions: list[Transition] = []
        self._episodes: list[EpisodeEnd] = []

    def add(
        self,
        observation: Observation,
        decision: Decision,
        transition: Transition,
        end: EpisodeEnd | None = None,
    ) -> Rollout | None:
        """Add one step.

        Args:
            observation: that the decision was made on.
            decision: that was made.
            transition: it led to.
            end: of the episode, where the step ended it.

        Returns:
            The rollout, where this completes it.
        """
        self._observations.append(observation)
        self._decisions.append(decision)
        self._transitions.append(transition)
        if end is not None:
            self._episodes.append(end)
        if len(self._transitions) < self._steps and not transition.truncated:
            return None
        spec, memory = self._spec, self._decisions[0].memory
        rollout = Rollout(
            spec=spec,
            observations=np.stack([*self._observations, transition.observation]),
            actions=np.array([d.action for d in self._decisions], spec.action_dtype),
            log_probs=np.array([d.log_prob for d in self._decisions], np.float32),
            rewards=np.array([t.reward + t.shaping for t in self._transitions], np.float32),
            terminated=np.array([t.terminated or t.life_lost for t in self._transitions], np.bool_),
            truncated=np.array([t.truncated for t in self._transitions], np.bool_),
            versions=np.array([d.version for d in self._decisions], np.int64),
            memory=np.zeros(0, np.float32) if memory is None else memory,
            episodes=tuple(self._episodes),
        )
        for gathered in (self._observations, self._decisions, self._transitions, self._episodes):
            gathered.clear()
        return rollout
