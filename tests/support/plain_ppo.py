"""PPO without any haste: one loop per rollout, step and minibatch, as a reference."""

from statistics import fmean

import torch
from torch import Tensor

from metabonk.learner.ppo import RETURN_RATE
from metabonk.policy import ActorCritic, PolicySpec, Rollout
from metabonk.settings.learning import Learning

Step = tuple[int, int]
"""Index of a rollout, and of a step in it."""


class PlainPpo:
    """PPO with GAE, for rollouts that all are fresh.

    Args:
        spec: of the policy.
        settings: of learning.
    """

    def __init__(self, spec: PolicySpec, settings: Learning) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = ActorCritic(spec)
        self._settings = settings
        self._optimizer = torch.optim.Adam(
            self.network.parameters(), settings.learning_rate, eps=1e-5, foreach=False
        )
        self._random = torch.Generator().manual_seed(settings.seed)

    def update(self, rollouts: list[Rollout]) -> dict[str, float]:
        """Learn from rollouts; return the means of the losses."""
        settings, network = self._settings, self.network
        observations = [torch.from_numpy(rollout.observations) for rollout in rollouts]
        network.update_obs_stats(torch.cat(observations))
        steps = [
            (column, step)
            for step in range(max(map(len, rollouts)))
            for column, rollout in enumerate(rollouts)
            if step < len(rollout)
        ]
        with torch.no_grad():
            values = [network.denormalize(self._run(rollout)[1]) for rollout in rollouts]
        advantages = [self._gae(*each) for each in zip(rollouts, values, strict=True)]
        returns = torch.stack([advantages[c][t] + values[c][t] for c, t in steps])
        network.update_return_stats(returns, RETURN_RATE)
        chosen = torch.stack([advantages[c][t] for c, t in steps])
        targets = {
            step: (advantage, target, old)
            for step, advantage, target, old in zip(
                steps,
                (chosen - chosen.mean()) / (chosen.std() + 1e-8),
                network.normalize(returns),
                network.normalize(torch.stack([values[c][t] for c, t in steps])),
                strict=True,
            )
        }
        terms = [
            self._gradient_step(rollouts, minibatch, targets)
            for _ in range(settings.epochs)
            for minibatch in self._minibatches(len(rollouts), steps)
        ]
        return {name: fmean(each[name] for each in terms) for name in terms[0]}

    def _minibatches(self, rollouts: int, steps: list[Step]) -> list[list[Step]]:
        recurrent = self.network.memory is not None
        whole = rollouts if recurrent else len(steps)
        order = torch.randperm(whole, generator=self._random)
        parts = [part.tolist() for part in order.tensor_split(self._settings.num_minibatches)]
        if recurrent:
            return [[(c, t) for c, t in steps if c in part] for part in parts]
        return [[steps[index] for index in part] for part in parts]

    def _run(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Return policy and values of every observation of a rollout, one after the other."""
        memory = torch.from_numpy(rollout.memory)[None]
        parameters, values = [], []
        for step, observation in enumerate(rollout.observations):
            if step and rollout.terminated[step - 1]:
                memory = torch.zeros_like(memory)
            output = self.network(torch.from_numpy(observation)[None], memory)
            memory = output.memory
            parameters.append(output.parameters[0])
            values.append(output.values[0])
        return torch.stack(parameters), torch.stack(values)

    def _gae(self, rollout: Rollout, values: Tensor) -> list[Tensor]:
        settings, advantages = self._settings, []
        later = torch.zeros(())
        for step in reversed(range(len(rollout))):
            go_on = 0.0 if rollout.terminated[step] else 1.0
            bootstrapped = settings.gamma * go_on * values[step + 1]
            delta = float(rollout.rewards[step]) + bootstrapped - values[step]
            later = delta + settings.gamma * settings.gae_lambda * go_on * later
            advantages.append(later)
        return advantages[::-1]

    def _gradient_step(
        self,
        rollouts: list[Rollout],
        minibatch: list[Step],
        targets: dict[Step, tuple[Tensor, Tensor, Tensor]],
    ) -> dict[str, float]:
        settings, spec = self._settings, self.network.spec
        outputs = {column: self._run(rollouts[column]) for column, _ in minibatch}
        distribution = spec.distribution(torch.stack([outputs[c][0][t] for c, t in minibatch]))
        values = torch.stack([outputs[c][1][t] for c, t in minibatch])
        actions = torch.stack([torch.as_tensor(rollouts[c].actions[t]) for c, t in minibatch])
        before = torch.tensor([float(rollouts[c].log_probs[t]) for c, t in minibatch])
        advantages, returns, old = (
            torch.stack(each) for each in zip(*(targets[step] for step in minibatch), strict=True)
        )
        ratios = (distribution.log_prob(actions) - before).exp()
        low, high = 1 / (1 + settings.clip_range), 1 + settings.clip_range
        policy = -torch.minimum(ratios * advantages, ratios.clamp(low, high) * advantages).mean()
        limit = settings.value_clip_range
        near = old + (values - old).clamp(-limit, limit)
        value = 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2).mean()
        entropy, kl = distribution.entropy().mean(), (ratios - 1 - ratios.log()).mean()
        loss = policy + settings.value_coefficient * value + settings.kl_coefficient * kl
        loss = loss - settings.entropy_coefficient * entropy
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.max_grad_norm)
        self._optimizer.step()
        self.network.clamp_log_std()
        clipped = ((ratios < low) | (ratios > high)).float().mean()
        terms = {
            "policy": policy,
            "value": value,
            "entropy": entropy,
            "kl": kl,
            "clip_fraction": clipped,
            "grad_norm": norm,
        }
        return {name: float(term.detach()) for name, term in terms.items()}
