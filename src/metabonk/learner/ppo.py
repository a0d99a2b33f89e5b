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
    make_batch,
    minibatches,
)
from metabonk.learner.gradient_step import GradientStep, Report, Targets
from metabonk.learner.losses import Advantages, gae, learning_rate, vtrace
from metabonk.learner.minibatch_step import MinibatchStep
from metabonk.policy import ActorCritic, PolicySpec, Rollout
from metabonk.settings.learning import Learning

log = logging.getLogger(__name__)

REPORTED = ("policy", "value", "entropy", "kl", "clip_fraction", "grad_norm")
"""Values of gradient steps whose means are an update's losses."""

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
        device: that it learns on.
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
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = ActorCritic(spec).to(self.device)
        self.network.set_return_scale(1.0 / (settings.reward_scale or reward_scale))
        # On the device, where the rate of a recorded step is looked up.
        rate = torch.tensor(settings.learning_rate, device=self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), rate, eps=1e-5, fused=True)
        self.random = torch.Generator().manual_seed(settings.seed)
        self._step = GradientStep(self.network, self.optimizer, settings)
        self._minibatch_step = MinibatchStep(self.network, self.optimizer, settings, self._step)

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
            device=self.device,
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
        estimated = batch.select(estimate.returns)
        if not bool(torch.isfinite(estimated).all()):
            self._skip_step("its returns are not finite")
            return {}
        if settings.normalize_returns and settings.advantage == "gae":
            network.update_return_stats(estimated, RETURN_RATE)

        targets = Targets(
            actions=batch.select(batch.actions),
            behaviour=batch.select(batch.log_probs),
            advantages=_normalize(batch.select(estimate.advantages)),
            returns=network.normalize(estimated),
            old_values=network.normalize(values.index_select(0, batch.obs_of_valid)),
        )
        rate = learning_rate(settings, self.counters.steps_trained)
        for group in self.optimizer.param_groups:
            group["lr"].fill_(rate)
        self._step.begin_update()
        steps = [*self._steps(batch, targets, features if single_step else None)]
        # Only here is a GPU waited for.
        reports = [Report(*values) for values in torch.stack(steps).tolist()]
        for report in reports:
            if report.skipped:
                self._skip_step(f"its gradient is not finite (loss {report.loss})")
        taken = [report for report in reports if report.taken]
        losses = {name: fmean(getattr(each, name) for each in taken) for name in REPORTED if taken}
        losses["explained_variance"] = _explained_variance(targets.old_values, targets.returns)
        losses["learning_rate"] = rate
        losses["gradient_steps"] = len(taken)
        return losses

    def _steps(self, batch: Batch, targets: Targets, features: Tensor | None) -> Iterator[Tensor]:
        """Make gradient steps until all are made or the policy has moved far enough.

        Args:
            batch: of rollouts.
            targets: of its valid steps.
            features: of every observation, with gradients, if a single step uses the whole batch.

        Yields:
            The values of a ``Report``.
        """
        if features is not None:
            output = self.network.heads(features.index_select(0, batch.obs_of_valid))
            yield self._step(output, targets, _equal_weights(targets))
            return
        for _ in range(self.settings.epochs):
            for chosen in minibatches(batch, self.spec, self.settings.num_minibatches, self.random):
                yield self._minibatch_step(batch, targets, chosen)
                if self._step.stopped(wait=False):
                    return
            if self._step.stopped(wait=True):
                return

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

    def _skip_step(self, why: str) -> None:
        self.counters.skipped += 1
        log.warning("skipped a gradient step: %s; %d so far", why, self.counters.skipped)


def _equal_weights(targets: Targets) -> Tensor:
    count = len(targets.advantages)
    return targets.advantages.new_full((count,), 1 / count)


def _normalize(advantages: Tensor) -> Tensor:
    if len(advantages) < 2:
        return torch.zeros_like(advantages)
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def _explained_variance(values: Tensor, returns: Tensor) -> float:
    """Return 1 for perfect values, 0 for values no better than their mean; never NaN."""
    spread = float(returns.var(unbiased=False))
    return 1.0 - float((returns - values).var(unbiased=False)) / spread if spread > 0 else 0.0
