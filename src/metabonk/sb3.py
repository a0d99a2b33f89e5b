"""``Thoughts``: what a policy of Stable-Baselines3 thinks, beside its environments' pictures."""

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv
from torch.utils.hooks import RemovableHandle

from metabonk.broadcast.records import Thought
from metabonk.broadcast.thought_slot import ThoughtSlot
from metabonk.broadcast.wrapper import Broadcast
from metabonk.errors import WireError

log = logging.getLogger(__name__)


class Thoughts(BaseCallback):
    """Shows probabilities of the actions and the value of the state at each step that is watched.

    For environments in ``metabonk.Broadcast``, of the algorithms that have both: PPO, A2C and those
    of ``sb3_contrib`` that are on-policy. The policy decides as it does without; while nobody
    watches, nothing is computed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._outlets: Sequence[_Outlet | None] = ()
        self._hook: RemovableHandle | None = None

    def _on_training_start(self) -> None:
        self._end()
        if isinstance(self.model, OnPolicyAlgorithm):
            self._outlets = _outlets(self.training_env)
        else:
            name = type(self.model).__name__
            gymnasium.logger.warn(
                f"metabonk.sb3.Thoughts shows nothing of {name}, which is not on-policy"
            )

    def _on_rollout_start(self) -> None:
        if any(outlet is not None and outlet.is_lost for outlet in self._outlets):
            self._close()
            self._outlets = _outlets(self.training_env)
        # Between the decision and the step that follows, there is no call of a callback.
        if self._hook is None and any(self._outlets):
            self._hook = self.model.policy.register_forward_hook(self._think)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _on_training_end(self) -> None:
        self._end()

    def _think(self, policy: Any, observation: Any, output: Any) -> None:
        try:
            watched = [
                index
                for index, outlet in enumerate(self._outlets)
                if outlet is not None and outlet.is_wanted
            ]
            if not watched:
                return
            values = output[1].detach().flatten().tolist()
            probabilities = _probabilities(policy)
            for index in watched:
                outlet = self._outlets[index]
                assert outlet is not None
                mine = None if probabilities is None else probabilities[index]
                outlet.put(Thought(mine, values[index]))
        except Exception as error:  # The trainer goes on, whatever a policy of its own returns.
            log.debug("a policy's thoughts failed", exc_info=error)
            self._outlets = ()
            # The user may have made errors of warnings.
            with contextlib.suppress(Warning):
                gymnasium.logger.warn(f"metabonk.sb3.Thoughts shows nothing any more: {error!r}")

    def _end(self) -> None:
        self._on_rollout_end()
        self._close()

    def _close(self) -> None:
        for outlet in self._outlets:
            if outlet is not None:
                outlet.close()
        self._outlets = ()


class _Outlet(Protocol):
    """Way to show thoughts on an environment."""

    @property
    def is_wanted(self) -> bool: ...

    @property
    def is_lost(self) -> bool: ...

    def put(self, thought: Thought) -> None: ...

    def close(self) -> None: ...


class _InProcess:
    """Way to an environment in this process."""

    is_lost = False

    def __init__(self, environment: Broadcast) -> None:
        self._environment = environment

    @property
    def is_wanted(self) -> bool:
        return self._environment.is_watched

    def put(self, thought: Thought) -> None:
        self._environment.think(probabilities=thought.probabilities, value=thought.value)

    def close(self) -> None:
        pass


def _outlets(environments: VecEnv) -> list[_Outlet | None]:
    """Return a way to each environment; None where there is none."""
    inner = environments.unwrapped
    if isinstance(inner, DummyVecEnv):
        found = [_broadcast_in(environment) for environment in inner.envs]
        return [None if each is None else _InProcess(each) for each in found]
    if isinstance(inner, SubprocVecEnv):
        wrapped = [index for index, has in enumerate(inner.env_is_wrapped(Broadcast)) if has]
        files = dict(zip(wrapped, inner.get_attr("ring_file", wrapped), strict=True))
        return [_slot(files.get(index)) for index in range(inner.num_envs)]
    return []


def _broadcast_in(environment: gymnasium.Env[Any, Any]) -> Broadcast | None:
    while isinstance(environment, gymnasium.Wrapper):
        if isinstance(environment, Broadcast):
            return environment
        environment = environment.env
    return None


def _slot(file: str | None) -> ThoughtSlot | None:
    if file is None:
        return None
    try:
        return ThoughtSlot(Path(file))
    except (OSError, WireError):
        return None


def _probabilities(policy: Any) -> NDArray[np.float32] | None:
    """Return those of the newest decisions, environments × actions; None: actions are numbers."""
    distribution = policy.action_dist.distribution
    parts = distribution if isinstance(distribution, list) else [distribution]
    if not all(hasattr(part, "probs") for part in parts):
        return None
    together = torch.cat([part.probs for part in parts], dim=1)
    return together.detach().cpu().numpy().astype(np.float32)
