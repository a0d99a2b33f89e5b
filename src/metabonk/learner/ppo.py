"""The update of asynchronous PPO (Petrenko et al. 2020, "Sample Factory")."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from metabonk.errors import PolicyError
from metabonk.games import ActionKind
from metabonk.learner.batch import Batch, assess, look, look_again, make_batch, parts
from metabonk.learner.losses import (
    Advantages,
    Surrogate,
    gae,
    learning_rate,
    surrogate,
    value_loss,
    vtrace,
)
from metabonk.policy import ActorCritic, PolicySpec, Rollout
from metabonk.policy.distributions import Choices, Distribution
from metabonk.policy.network import Output
from metabonk.settings.schema import Learning

log = logging.getLogger(__name__)

KL_MARGIN = 1.5
"""Beyond this many times the wanted divergence an update ends (as in Stable-Baselines3)."""

RETURN_RATE = 0.02
"""Weight of one batch in the mean and scale of returns."""


@dataclass
class Counters:
    """What has been counted since the run began; checkpoints keep it.

    Attributes:
        version: of the weights; grows by one with every update.
        steps_trained: policy decisions learned from.
        steps_dropped: decisions that came too late to be learned from.
        updates: batches learned from.
        skipped: gradient steps left out, since their loss or gradient was not finite.
    """

    version: int = 0
    steps_trained: int = 0
    steps_dropped: int = 0
    updates: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Update:
    """What one update did.

    Attributes:
        steps: decisions it learned from.
        dropped: decisions left out as too old.
        lag: mean age of the batch, in versions.
        losses: by name, means over its gradient steps.
    """

    steps: int
    dropped: int
    lag: float
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Targets:
    """What N steps are learned towards.

    Attributes:
        actions: as the spec says, ``[N, …]``.
        behaviour: their log-probabilities under the policy that chose, ``[N]``.
        advantages: standardised, ``[N]``.
        returns: normalised, ``[N]``.
        old_values: predicted before the update, normalised, ``[N]``.
    """

    actions: Tensor
    behaviour: Tensor
    advantages: Tensor
    returns: Tensor
    old_values: Tensor


class Learner:
    """Holds the network and its optimiser, and learns from rollouts.

    Args:
        spec: of the policy.
        settings: how to learn.
        reward_scale: the game's own; where returns aren't normalised, values are learned in
            rewards times this.
        device: where to learn; default: the first GPU, else the processor.

    Raises:
        PolicyError: no network fits the spec, or the settings don't fit its actions.

    Attributes:
        counters: what has been counted.
        network: what learns.
        optimizer: of the network.
        random: chooses the minibatches.
    """

    def __init__(
        self,
        spec: PolicySpec,
        settings: Learning,
        *,
        reward_scale: float = 1.0,
        device: torch.device | None = None,
    ) -> None:
        if (
            settings.exploration_loss == "symmetric_kl"
            and spec.action_kind is ActionKind.CONTINUOUS
        ):
            raise PolicyError(
                f"learning.exploration_loss is 'symmetric_kl', and {spec.game} has continuous actions, "
                "of which none are uniform; set it to 'entropy'"
            )
        self.spec = spec
        self.counters = Counters()
        self.settings = settings
        self._device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = ActorCritic(spec).to(self._device)
        self.network.set_return_scale(1.0 / (settings.reward_scale or reward_scale))
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), settings.learning_rate, eps=1e-5, fused=True
        )
        self.random = torch.Generator().manual_seed(settings.seed)

    def update(self, rollouts: list[Rollout]) -> Update:
        """Learns from rollouts of this game; the weights' version grows by one.

        With nothing but outdated steps it changes nothing.

        Args:
            rollouts: at least one, of this learner's spec.
        """
        batch = make_batch(
            rollouts,
            version=self.counters.version,
            max_lag=self.settings.max_policy_lag,
            device=self._device,
        )
        total = sum(map(len, rollouts))
        dropped = total - batch.steps
        self.counters.steps_dropped += dropped
        if batch.steps == 0:
            return Update(0, dropped, 0.0)
        ages = self.counters.version - np.concatenate([r.versions for r in rollouts])
        fresh = np.abs(ages) <= self.settings.max_policy_lag
        losses = self._learn(batch)
        self.counters.steps_trained += batch.steps
        self.counters.updates += 1
        self.counters.version += 1
        return Update(batch.steps, dropped, float(ages[fresh].mean()), losses)

    def _learn(self, batch: Batch) -> dict[str, float]:
        settings, network = self.settings, self.network
        network.adapt_observations(batch.observations)
        # A single gradient step is made by the very weights that say what things are worth.
        once = settings.epochs == settings.num_minibatches == 1
        with torch.set_grad_enabled(once):
            features = look(network, batch)
        values, parameters = assess(network, features)
        estimate = self._estimate(batch, values, parameters)
        if not bool(torch.isfinite(estimate.returns[batch.valid]).all()):
            self._left_out("its returns are not finite")
            return {}
        if settings.normalize_returns and settings.advantage == "gae":
            network.adapt_returns(estimate.returns[batch.valid], RETURN_RATE)

        targets = Targets(
            actions=batch.actions[batch.valid],
            behaviour=batch.log_probs[batch.valid],
            advantages=_standardised(estimate.advantages[batch.valid]),
            returns=network.normalise(estimate.returns[batch.valid]),
            old_values=network.normalise(values[batch.acted_on][batch.valid]),
        )
        rate = learning_rate(settings, self.counters.steps_trained)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        steps = self._steps(batch, targets, features if once else None)
        taken = [terms for terms in steps if terms]
        losses = {name: fmean(terms[name] for terms in taken) for name in taken[0]} if taken else {}
        losses["explained_variance"] = _explained_variance(targets.old_values, targets.returns)
        losses["learning_rate"] = rate
        losses["gradient_steps"] = len(taken)
        return losses

    def _steps(
        self, batch: Batch, targets: Targets, features: Tensor | None
    ) -> Iterator[dict[str, float] | None]:
        """Gradient steps, until all are made or the policy has moved as far as it may.

        Args:
            batch: of rollouts.
            targets: of its valid steps.
            features: of every observation, with gradients, where all steps are taken at once.
        """
        settings = self.settings
        for _ in range(settings.epochs):
            for part in parts(batch, self.spec, settings.num_minibatches, self.random):
                if features is None:
                    output, chosen = look_again(self.network, batch, part)
                else:
                    output = self.network.conclude(features[batch.acted_on[batch.valid]])
                    chosen = torch.arange(batch.steps, device=features.device)
                if len(chosen) == 0:
                    continue
                distribution = self.spec.distribution(output.parameters)
                policy = surrogate(
                    distribution.log_prob(targets.actions[chosen]),
                    targets.behaviour[chosen],
                    targets.advantages[chosen],
                    clip=settings.clip_range,
                )
                if 0 < KL_MARGIN * settings.target_kl < float(policy.kl.detach()):
                    return
                yield self._step(output, distribution, policy, targets, chosen)

    def _step(
        self,
        output: Output,
        distribution: Distribution,
        policy: Surrogate,
        targets: Targets,
        chosen: Tensor,
    ) -> dict[str, float] | None:
        """One gradient step; its terms by name, or None when it was left out."""
        settings = self.settings
        value = value_loss(
            output.values,
            targets.returns[chosen],
            targets.old_values[chosen],
            clip=settings.value_clip_range,
        )
        entropy = distribution.entropy().mean()
        loss = (
            policy.loss
            + settings.value_coefficient * value
            + settings.kl_coefficient * policy.kl
            - settings.entropy_coefficient * self._curiosity(distribution, entropy)
        )
        norm = self._descend(loss)
        if norm is None:
            return None
        terms = {
            "policy": policy.loss,
            "value": value,
            "entropy": entropy,
            "kl": policy.kl,
            "clip_fraction": policy.clip_fraction,
            "grad_norm": norm,
        }
        return {name: float(term.detach()) for name, term in terms.items()}

    def _curiosity(self, distribution: Distribution, entropy: Tensor) -> Tensor:
        """What the policy is rewarded for, besides what it is there for."""
        if self.settings.exploration_loss == "symmetric_kl" and isinstance(distribution, Choices):
            return -distribution.symmetric_kl().mean()
        return entropy

    def _estimate(self, batch: Batch, values: Tensor, parameters: Tensor) -> Advantages:
        settings = self.settings
        before, after = values[batch.acted_on], values[batch.led_to]
        if settings.advantage == "gae":
            return gae(
                batch.rewards,
                before,
                after,
                batch.terminated,
                batch.ends,
                gamma=settings.gamma,
                lam=settings.gae_lambda,
            )
        now = self.spec.distribution(parameters[batch.acted_on]).log_prob(batch.actions)
        return vtrace(
            batch.rewards,
            before,
            after,
            batch.terminated,
            batch.ends,
            now - batch.log_probs,
            gamma=settings.gamma,
            lam=settings.gae_lambda,
        )

    def _descend(self, loss: Tensor) -> Tensor | None:
        """One gradient step; the gradient's norm, or None when it was left out."""
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.settings.max_grad_norm
        )
        # A finite loss can have a gradient that isn't; a loss that isn't has none that is.
        if not bool(torch.isfinite(norm)):
            self._left_out(f"its gradient is not finite, at a loss of {float(loss.detach())}")
            return None
        self.optimizer.step()
        return norm

    def _left_out(self, why: str) -> None:
        self.counters.skipped += 1
        log.warning("a gradient step is left out: %s; %d so far", why, self.counters.skipped)


def _standardised(advantages: Tensor) -> Tensor:
    if len(advantages) < 2:
        return torch.zeros_like(advantages)
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def _explained_variance(values: Tensor, returns: Tensor) -> float:
    """1: the values were right; 0: no better than their mean; NaN-free."""
    spread = float(returns.var(unbiased=False))
    return 1.0 - float((returns - values).var(unbiased=False)) / spread if spread > 0 else 0.0
