"""Updates of asynchronous PPO (Petrenko et al. 2020, "Sample Factory")."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from metabonk.errors import PolicyError
from metabonk.games import ActionKind
from metabonk.learner.batch import (
    Batch,
    encode,
    evaluate,
    forward_minibatch,
    make_batch,
    minibatches,
)
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
"""An update ends beyond this multiple of ``target_kl`` (as in Stable-Baselines3)."""

RETURN_RATE = 0.02
"""Weight of a batch in the running mean and scale of returns."""


@dataclass
class Counters:
    """Counters since the start of the run, kept in checkpoints.

    Attributes:
        version: of the weights, incremented by every update.
        steps_trained: steps learned from.
        steps_dropped: steps that were too old to learn from.
        updates: batches learned from.
        skipped: gradient steps skipped because of a non-finite loss or gradient.
    """

    version: int = 0
    steps_trained: int = 0
    steps_dropped: int = 0
    updates: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Update:
    """Result of an update.

    Attributes:
        steps: learned from.
        dropped: steps left out as too old.
        lag: mean age of the batch, in policy versions.
        losses: by name, as means over the gradient steps.
    """

    steps: int
    dropped: int
    lag: float
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Targets:
    """Targets of the N valid steps of a batch.

    Attributes:
        actions: by the spec, ``[N, …]``.
        behaviour: log-probabilities of the actions under the behaviour policy, ``[N]``.
        advantages: normalized, ``[N]``.
        returns: normalized, ``[N]``.
        old_values: predictions before the update, normalized, ``[N]``.
    """

    actions: Tensor
    behaviour: Tensor
    advantages: Tensor
    returns: Tensor
    old_values: Tensor


class Learner:
    """The network and its optimizer, trained from rollouts.

    Args:
        spec: of the policy.
        settings: of learning.
        reward_scale: the game's default; used where returns are not normalized.
        device: to learn on; default: the first GPU, else the CPU.

    Raises:
        PolicyError: no network fits the spec, or the settings don't fit its actions.

    Attributes:
        counters: since the start of the run.
        network: that is trained.
        optimizer: of the network.
        random: shuffles the minibatches.
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
                f"learning.exploration_loss is 'symmetric_kl', but {spec.game} has continuous "
                "actions, for which there is no uniform policy; set it to 'entropy'"
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
        """Learn from rollouts of this game and increment the version of the weights.

        Does nothing if all steps are too old.

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
        network.update_obs_stats(batch.observations)
        # A single gradient step reuses the forward pass that estimated the values.
        single_step = settings.epochs == settings.num_minibatches == 1
        with torch.set_grad_enabled(single_step):
            features = encode(network, batch)
        values, parameters = evaluate(network, features)
        estimate = self._estimate(batch, values, parameters)
        if not bool(torch.isfinite(estimate.returns[batch.valid]).all()):
            self._skip_step("its returns are not finite")
            return {}
        if settings.normalize_returns and settings.advantage == "gae":
            network.update_return_stats(estimate.returns[batch.valid], RETURN_RATE)

        targets = Targets(
            actions=batch.actions[batch.valid],
            behaviour=batch.log_probs[batch.valid],
            advantages=_normalize(estimate.advantages[batch.valid]),
            returns=network.normalize(estimate.returns[batch.valid]),
            old_values=network.normalize(values[batch.obs_index][batch.valid]),
        )
        rate = learning_rate(settings, self.counters.steps_trained)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        steps = self._steps(batch, targets, features if single_step else None)
        taken = [terms for terms in steps if terms]
        losses = {name: fmean(terms[name] for terms in taken) for name in taken[0]} if taken else {}
        losses["explained_variance"] = _explained_variance(targets.old_values, targets.returns)
        losses["learning_rate"] = rate
        losses["gradient_steps"] = len(taken)
        return losses

    def _steps(
        self, batch: Batch, targets: Targets, features: Tensor | None
    ) -> Iterator[dict[str, float] | None]:
        """Make gradient steps until all are made or the policy has moved far enough.

        Args:
            batch: of rollouts.
            targets: of its valid steps.
            features: of every observation, with gradients, if a single step uses the whole batch.
        """
        settings = self.settings
        for _ in range(settings.epochs):
            for minibatch in minibatches(batch, self.spec, settings.num_minibatches, self.random):
                if features is None:
                    output, chosen = forward_minibatch(self.network, batch, minibatch)
                else:
                    output = self.network.heads(features[batch.obs_index[batch.valid]])
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
        """Make a gradient step; return its terms by name, or None if it was skipped."""
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
            - settings.entropy_coefficient * self._exploration_bonus(distribution, entropy)
        )
        norm = self._optimize(loss)
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

    def _exploration_bonus(self, distribution: Distribution, entropy: Tensor) -> Tensor:
        """Return the term that rewards exploration."""
        if self.settings.exploration_loss == "symmetric_kl" and isinstance(distribution, Choices):
            return -distribution.symmetric_kl().mean()
        return entropy

    def _estimate(self, batch: Batch, values: Tensor, parameters: Tensor) -> Advantages:
        settings = self.settings
        before, after = values[batch.obs_index], values[batch.next_obs_index]
        if settings.advantage == "gae":
            return gae(
                batch.rewards,
                before,
                after,
                batch.terminated,
                batch.done,
                gamma=settings.gamma,
                lam=settings.gae_lambda,
            )
        now = self.spec.distribution(parameters[batch.obs_index]).log_prob(batch.actions)
        return vtrace(
            batch.rewards,
            before,
            after,
            batch.terminated,
            batch.done,
            now - batch.log_probs,
            gamma=settings.gamma,
            lam=settings.gae_lambda,
        )

    def _optimize(self, loss: Tensor) -> Tensor | None:
        """Make a gradient step; return the gradient's norm, or None if it was skipped."""
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.settings.max_grad_norm
        )
        # A finite loss may have a non-finite gradient; a non-finite loss has no finite one.
        if not bool(torch.isfinite(norm)):
            self._skip_step(f"its gradient is not finite (loss {float(loss.detach())})")
            return None
        self.optimizer.step()
        self.network.clamp_log_std()
        return norm

    def _skip_step(self, why: str) -> None:
        self.counters.skipped += 1
        log.warning("skipped a gradient step: %s; %d so far", why, self.counters.skipped)


def _normalize(advantages: Tensor) -> Tensor:
    if len(advantages) < 2:
        return torch.zeros_like(advantages)
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def _explained_variance(values: Tensor, returns: Tensor) -> float:
    """Return 1 for perfect values, 0 for values no better than their mean; never NaN."""
    spread = float(returns.var(unbiased=False))
    return 1.0 - float((returns - values).var(unbiased=False)) / spread if spread > 0 else 0.0
