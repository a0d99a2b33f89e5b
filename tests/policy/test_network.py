"""The network."""

import pytest
import torch

from metabonk.errors import PolicyError
from metabonk.policy import ActorCritic, PolicySpec
from metabonk.settings.schema import NetworkKind
from tests.policy.specs import TINY


def pictures(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 36, 36), dtype=torch.uint8)


def test_it_answers_every_observation_with_a_distribution_and_a_value():
    output = ActorCritic(TINY)(pictures(5))
    assert output.log_probs.shape == (5, 3)
    assert output.values.shape == (5,)
    assert output.log_probs.exp().sum(1).tolist() == pytest.approx([1.0] * 5)


def test_a_new_policy_is_nearly_uniform():
    probabilities = ActorCritic(TINY)(pictures(20)).log_probs.exp()
    assert (probabilities - 1 / 3).abs().max() < 0.05


@pytest.mark.parametrize("kind", NetworkKind)
@pytest.mark.parametrize("shape", [(3, 72, 128), (3, 84, 84), (1, 36, 50)])
def test_it_fits_the_observation(shape: tuple[int, int, int], kind: NetworkKind):
    spec = PolicySpec(game="g", observation_shape=shape, action_names=("a",), network=kind)
    assert ActorCritic(spec)(torch.zeros(2, *shape, dtype=torch.uint8)).values.shape == (2,)


def test_networks_of_others_have_their_sizes():
    """Convolutions and features of NatureCNN on one 84×84 picture, counted by hand."""
    spec = PolicySpec(
        game="g", observation_shape=(1, 84, 84), action_names=("a",), network=NetworkKind.NATURE
    )
    torso = ActorCritic(spec)
    sizes = [p.numel() for part in (torso.convolution, torso.features) for p in part.parameters()]
    assert sum(sizes) == (
        (8 * 8 * 32 + 32)
        + (32 * 4 * 4 * 64 + 64)
        + (64 * 3 * 3 * 64 + 64)
        + (7 * 7 * 64 * 512 + 512)
    )


@pytest.mark.parametrize("kind", NetworkKind)
def test_every_kind_starts_nearly_uniform(kind: NetworkKind):
    spec = TINY.model_copy(update={"network": kind})
    assert (ActorCritic(spec)(pictures(20)).log_probs.exp() - 1 / 3).abs().max() < 0.05


def test_an_observation_too_small_for_it_is_refused():
    spec = TINY.model_copy(update={"observation_shape": (1, 35, 36)})
    with pytest.raises(PolicyError, match="35×36 are too small"):
        ActorCritic(spec)


def test_values_in_reward_units_survive_a_change_of_scale():
    network = ActorCritic(TINY)
    observations = pictures(10)
    network.adapt_returns(torch.tensor([100.0, -300.0, 50.0]), 0.5)
    before = network.denormalise(network(observations).values)
    network.adapt_returns(torch.tensor([5000.0, 7000.0]), 0.5)
    after = network.denormalise(network(observations).values)
    assert float(network.return_scale) > 1000
    torch.testing.assert_close(before, after, rtol=1e-4, atol=0.05)


def test_returns_are_normalised_to_mean_0_and_scale_1():
    network = ActorCritic(TINY)
    returns = torch.randn(1000) * 40 - 200
    network.adapt_returns(returns, 0.1)
    normal = network.normalise(returns)
    assert float(normal.mean()) == pytest.approx(0, abs=1e-3)
    assert float(normal.std()) == pytest.approx(1, abs=1e-2)
    torch.testing.assert_close(network.denormalise(normal), returns)


def test_the_first_returns_are_averaged_evenly_and_later_ones_by_their_rate():
    network = ActorCritic(TINY)
    for value in (1.0, 2.0, 3.0):
        network.adapt_returns(torch.tensor([value]), 0.25)
    assert float(network.return_mean) == pytest.approx(2.0)
    for _ in range(2):
        network.adapt_returns(torch.tensor([10.0]), 0.25)
    assert float(network.return_mean) == pytest.approx(2 + 0.25 * 8 + 0.25 * 6)


def test_returns_that_never_differ_do_not_divide_by_zero():
    network = ActorCritic(TINY)
    network.adapt_returns(torch.full((8,), 7.0), 0.5)
    assert torch.isfinite(network.normalise(torch.tensor([7.0, 8.0]))).all()
