"""Gradient steps: their reports, and what keeps them from the weights."""

import math

import pytest
import torch
from torch import Tensor

from metabonk.learner.gradient_step import GradientStep, Report, Targets
from metabonk.policy import ActorCritic
from metabonk.settings.learning import Learning
from tests.support.specs import VECTOR

STEPS = 6


class Fixture:
    """A network, its optimizer and a gradient step for six observations."""

    def __init__(self, **changes: object) -> None:
        torch.manual_seed(0)
        self.network = ActorCritic(VECTOR)
        self.optimizer = torch.optim.Adam(self.network.parameters(), torch.tensor(1e-2), fused=True)
        self.step = GradientStep(
            self.network, self.optimizer, Learning.model_validate({"kl_coefficient": 0.1} | changes)
        )
        self.observations = torch.randn(STEPS, 4)
        self.targets = Targets(
            actions=torch.tensor([0, 1, 0, 1, 0, 0]),
            behaviour=torch.full((STEPS,), math.log(0.5)),
            advantages=torch.randn(STEPS),
            returns=torch.randn(STEPS),
            old_values=torch.zeros(STEPS),
        )

    def __call__(self, weights: Tensor | None = None) -> Report:
        if weights is None:
            weights = torch.full((STEPS,), 1 / STEPS)
        report = self.step(self.network(self.observations), self.targets, weights)
        return Report(*report.tolist())

    def state(self) -> list[Tensor]:
        """Return the weights, and the optimizer's moments and counts."""
        moments = [t for state in self.optimizer.state.values() for t in state.values()]
        return [each.detach().clone() for each in [*self.network.parameters(), *moments]]

    def move_away(self) -> None:
        """Make the policy one that is far from the behaviour policy."""
        with torch.no_grad():
            self.network.policy_head.bias.copy_(torch.tensor([4.0, -4.0]))


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def test_a_step_reports_its_terms_and_their_loss():
    report = Fixture(entropy_coefficient=0.02, value_coefficient=0.7)()
    assert report.taken
    assert report.entropy == report.exploration == pytest.approx(math.log(2), rel=1e-3)
    expected = report.policy + 0.7 * report.value + 0.1 * report.kl - 0.02 * report.entropy
    assert report.loss == pytest.approx(expected)
    assert report.grad_norm > 0


def test_steps_of_weight_zero_are_not_learned_from():
    whole, part = Fixture(), Fixture()
    chosen = torch.tensor([1, 3, 4])
    weights = torch.zeros(STEPS)
    weights[chosen] = 1 / 3
    padded = whole(weights)
    part.observations, part.targets = part.observations[chosen], part.targets.at(chosen)
    assert part(torch.full((3,), 1 / 3)) == pytest.approx(padded, rel=1e-4, abs=1e-6)
    for mine, theirs in zip(whole.state(), part.state(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_non_finite_gradient_changes_neither_weights_nor_moments(value: float):
    made = Fixture()
    made()
    before = made.state()
    made.targets.advantages[2] = value
    report = made()
    assert report.skipped
    assert not report.taken
    assert not math.isfinite(report.loss)
    assert same(before, made.state())
    made.targets.advantages[2] = 0.5
    assert made().taken
    assert not same(before, made.state())


def test_no_step_is_taken_beyond_the_target_kl_until_the_next_update():
    made = Fixture(target_kl=0.1)
    assert made().taken
    assert not made.step.stopped(wait=True)
    made.move_away()
    before = made.state()
    report = made()
    assert report.stopped
    assert not report.taken
    assert not report.skipped
    assert report.kl > 0.15
    assert made.step.stopped(wait=False), "the CPU knows at once"
    assert same(before, made.state())
    with torch.no_grad():
        made.network.policy_head.bias.zero_()
    assert made().stopped, "the update is over, wherever the policy is now"
    made.step.begin_update()
    assert made().taken


def test_a_step_without_effect_changes_nothing():
    made = Fixture()
    before = made.state()
    with made.step.without_effect():
        made()
    # The moments exist now, and are zero.
    assert same(before, made.state()[: len(before)])
    assert not any(moment.any() for moment in made.state()[len(before) :])
    assert made().taken


def test_an_update_that_stopped_stays_so_after_a_step_without_effect():
    made = Fixture(target_kl=0.1)
    made.move_away()
    made()
    with made.step.without_effect():
        pass
    assert made.step.stopped(wait=True)
