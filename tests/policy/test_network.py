"""Actor-critic networks."""

import pytest
import torch

from metabonk.errors import PolicyError
from metabonk.games import GameDescription
from metabonk.policy import ActorCritic, PolicySpec, encode_weights, load_weights
from metabonk.policy.encoders import make_encoder
from metabonk.settings.learning import Learning
from tests.support.specs import CONTINUOUS, MULTI_DISCRETE, RECURRENT, TINY, VECTOR


def images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, *TINY.observation_shape), dtype=torch.uint8)


def test_each_observation_gets_action_parameters_and_a_value():
    output = ActorCritic(TINY)(images(5))
    assert output.parameters.shape == (5, 3)
    assert output.values.shape == (5,)


def test_a_new_policy_is_nearly_uniform():
    probabilities = TINY.distribution(ActorCritic(TINY)(images(20)).parameters).probabilities()
    assert (probabilities - 1 / 3).abs().max() < 0.05


@pytest.mark.parametrize("shape", [(72, 128, 3), (84, 84, 3), (36, 50, 1)])
def test_the_network_adapts_to_the_observation_shape(shape: tuple[int, int, int]):
    spec = PolicySpec(game="g", observation_shape=shape, action_names=("a",))
    assert ActorCritic(spec)(torch.zeros(2, *shape, dtype=torch.uint8)).values.shape == (2,)


def test_a_too_small_observation_is_rejected():
    spec = TINY.model_copy(update={"observation_shape": (35, 36, 1)})
    with pytest.raises(PolicyError, match="35×36 are too small"):
        ActorCritic(spec)


def test_values_in_reward_units_survive_a_change_of_scale():
    network = ActorCritic(TINY)
    observations = images(10)
    network.update_return_stats(torch.tensor([100.0, -300.0, 50.0]), 0.5)
    before = network.denormalize(network(observations).values)
    network.update_return_stats(torch.tensor([5000.0, 7000.0]), 0.5)
    after = network.denormalize(network(observations).values)
    assert float(network.return_scale) > 1000
    torch.testing.assert_close(before, after, rtol=1e-4, atol=0.05)


def test_returns_are_normalized_to_mean_0_and_deviation_1():
    network = ActorCritic(TINY)
    returns = torch.randn(1000) * 40 - 200
    network.update_return_stats(returns, 0.1)
    normalized = network.normalize(returns)
    assert float(normalized.mean()) == pytest.approx(0, abs=1e-3)
    assert float(normalized.std()) == pytest.approx(1, abs=1e-2)
    torch.testing.assert_close(network.denormalize(normalized), returns)


def test_return_statistics_start_as_a_plain_mean_and_then_follow_the_rate():
    network = ActorCritic(TINY)
    for value in (1.0, 2.0, 3.0):
        network.update_return_stats(torch.tensor([value]), 0.25)
    assert float(network.return_mean) == pytest.approx(2.0)
    for _ in range(2):
        network.update_return_stats(torch.tensor([10.0]), 0.25)
    assert float(network.return_mean) == pytest.approx(2 + 0.25 * 8 + 0.25 * 6)


def test_constant_returns_do_not_divide_by_zero():
    network = ActorCritic(TINY)
    network.update_return_stats(torch.full((8,), 7.0), 0.5)
    assert torch.isfinite(network.normalize(torch.tensor([7.0, 8.0]))).all()


def test_returns_far_beyond_the_scale_raise_it_at_once_and_values_survive():
    network = ActorCritic(TINY)
    for _ in range(60):
        network.update_return_stats(torch.zeros(100), 0.02)
    observations, returns = images(5), torch.zeros(100)
    returns[0] = 3.0
    before = network.denormalize(network(observations).values)
    network.update_return_stats(returns, 0.02)
    assert float(network.normalize(returns).max()) == pytest.approx(5, rel=1e-3)
    after = network.denormalize(network(observations).values)
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-5)
    scale = float(network.return_scale)
    network.update_return_stats(torch.zeros(100), 0.02)
    assert scale * 0.98 < float(network.return_scale) < scale


def test_log_deviations_beyond_their_limits_return_to_them():
    network = ActorCritic(CONTINUOUS)
    assert network.log_std is not None
    network.log_std.data.copy_(torch.tensor([-9.0, 1.0]))
    network.clamp_log_std()
    assert network.log_std.tolist() == [-5.0, 1.0]
    # At the limit, the gradient leads on.
    entropy = CONTINUOUS.distribution(network(vectors(2)).parameters).entropy().sum()
    (gradient,) = torch.autograd.grad(entropy, network.log_std)
    assert gradient.tolist() == [2.0, 2.0]


def vectors(count: int, spec: PolicySpec = VECTOR) -> torch.Tensor:
    return torch.randn(count, *spec.observation_shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("network", "features"), [("small", 256), ("sample_factory", 512), ("nature", 512)]
)
@pytest.mark.parametrize("recurrent", [False, True])
def test_every_network_accepts_doom_and_gymnasium_observations(
    network: str, features: int, recurrent: bool
):
    learning = Learning.model_validate({"network": network, "recurrent": recurrent})
    for shape in ((72, 128, 3), (84, 84, 3)):
        spec = PolicySpec.of(GameDescription("g", shape, ("a", "b")), learning)
        assert (spec.network, spec.memory) == (network, features if recurrent else 0)
        output = ActorCritic(spec)(torch.zeros(2, *shape, dtype=torch.uint8))
        assert output.parameters.shape == (2, 2)
        assert output.memory.shape == (2, spec.memory)


def test_networks_match_their_papers():
    """Compare weight counts for 84×84×3 observations with the sources."""
    shape = (84, 84, 3)
    for network, layers, features in [
        ("sample_factory", [3 * 64 * 32, 32 * 16 * 64, 64 * 9 * 128], (128 * 4 * 4, 512)),
        ("nature", [3 * 64 * 32, 32 * 16 * 64, 64 * 9 * 64], (64 * 7 * 7, 512)),
    ]:
        encoder = make_encoder(network, shape)  # type: ignore[arg-type]
        weights = [p.numel() for p in encoder.parameters() if p.dim() > 1]
        assert weights == [*layers, features[0] * features[1]]


@pytest.mark.parametrize(("spec", "count"), [(MULTI_DISCRETE, 5), (CONTINUOUS, 4), (VECTOR, 2)])
def test_each_action_kind_has_its_number_of_parameters(spec: PolicySpec, count: int):
    network = ActorCritic(spec)
    output = network(vectors(6))
    assert output.parameters.shape == (6, count)
    assert network.parameter_count == count
    assert spec.distribution(output.parameters).entropy().shape == (6,)


def test_recurrent_state_changes_the_output_for_the_same_observation():
    network = ActorCritic(RECURRENT)
    observations = vectors(1)
    first = network(observations)
    later = network(observations, first.memory)
    assert not torch.equal(first.values, later.values)
    assert torch.equal(network(observations, torch.zeros(1, 8)).values, first.values)


def test_the_mlp_has_the_layers_of_the_spec():
    encoder = make_encoder("mlp", (4,), (16, 8))
    assert [p.shape for p in encoder.parameters() if p.dim() > 1] == [(16, 4), (8, 16)]


def test_vector_observations_are_normalized_to_mean_0_and_deviation_1():
    network = ActorCritic(VECTOR)
    generator = torch.Generator().manual_seed(3)
    observations = torch.randn(900, 4, generator=generator) * torch.tensor([1e-1, 1, 50, 1e4]) + 300
    for part in observations.split([100, 1, 799]):
        network.update_obs_stats(part)
    torch.testing.assert_close(network.observation_mean.float(), observations.mean(0))
    torch.testing.assert_close(
        network.observation_variance.float(), observations.var(0, unbiased=False), rtol=1e-3, atol=0
    )
    assert int(network.observation_count) == 900
    normalized = network._normalize_obs(observations)
    assert normalized.mean(0).abs().max() < 1e-2
    assert (normalized.std(0) - 1).abs().max() < 1e-2


def test_constant_or_extreme_observations_keep_outputs_finite():
    network = ActorCritic(VECTOR)
    network.update_obs_stats(torch.full((10, 4), 7.0))
    for value in (7.0, 1e30, -1e30):
        output = network(torch.full((1, 4), value))
        assert torch.isfinite(output.values).all()
        assert torch.isfinite(output.parameters).all()


def test_observation_statistics_travel_with_the_weights():
    network, other = ActorCritic(VECTOR), ActorCritic(VECTOR)
    network.update_obs_stats(vectors(50) * 9 + 4)
    load_weights(other, encode_weights(network, 1))
    assert torch.equal(network(vectors(3)).values, other(vectors(3)).values)
