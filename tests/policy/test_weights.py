"""Encoding and loading of weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.errors import PolicyError, WireError
from metabonk.policy import (
    ActorCritic,
    PolicySpec,
    decode_weights,
    encode_weights,
    load_weights,
)
from metabonk.policy.rollout import RolloutHeader
from metabonk.policy.serialization import pack
from metabonk.policy.weights import WeightsHeader, network_arrays
from tests.support.specs import OTHER_GAME, RECURRENT, TINY

NETWORK = ActorCritic(TINY)
ENCODED = encode_weights(NETWORK, 3)


def test_weights_survive_encoding():
    other = ActorCritic(TINY)
    assert load_weights(other, ENCODED) == 3
    for name, tensor in NETWORK.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_encoded_weights_carry_spec_and_version():
    weights = decode_weights(ENCODED)
    assert weights.spec == TINY
    assert weights.version == 3


@pytest.mark.parametrize("length", [0, 7, 100, len(ENCODED) - 1])
def test_truncated_weights_are_rejected(length: int):
    with pytest.raises(WireError):
        decode_weights(ENCODED[:length])


def test_a_rollout_is_not_accepted_as_weights():
    data = pack(network_arrays(NETWORK), RolloutHeader(spec=TINY))
    with pytest.raises(WireError, match="kind"):
        decode_weights(data)


@pytest.mark.parametrize("fault", ["shape", "type", "name", "missing", "nan"])
def test_weights_that_do_not_fit_are_rejected_and_change_nothing(fault: str):
    arrays = network_arrays(ActorCritic(TINY))
    bias = arrays["network/policy_head.bias"].copy()
    arrays["network/policy_head.bias"] = bias
    match fault:
        case "shape":
            arrays["network/policy_head.bias"] = bias[:2]
        case "type":
            arrays["network/policy_head.bias"] = bias.astype("float64")
        case "name":
            arrays["network/third_head.bias"] = arrays.pop("network/policy_head.bias")
        case "missing":
            del arrays["network/policy_head.bias"]
        case "nan":
            bias[0] = float("nan")
    network = ActorCritic(TINY)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(PolicyError, match="bias"):
        load_weights(network, pack(arrays, WeightsHeader(version=3, spec=TINY)))
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())


def test_weights_of_a_recurrent_policy_of_version_0_2_are_loaded():
    network, other = ActorCritic(RECURRENT), ActorCritic(RECURRENT)
    arrays = {name.removesuffix("_l0"): each for name, each in network_arrays(network).items()}
    assert "network/memory.weight_ih" in arrays
    spec = RECURRENT.model_dump(mode="json", exclude={"mlp_layers"})
    header = WeightsHeader(version=3, spec=PolicySpec.model_validate(spec))
    assert load_weights(other, pack(arrays, header)) == 3
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_weights_of_another_game_are_rejected_by_name():
    with pytest.raises(PolicyError, match=r"version 3.*doom:basic.*doom:take_cover"):
        load_weights(ActorCritic(OTHER_GAME), ENCODED)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_changed_byte_raises_only_wire_or_policy_errors(position: int, value: int):
    data = bytearray(ENCODED)
    data[position] = value
    try:
        load_weights(ActorCritic(TINY), bytes(data))
    except (WireError, PolicyError) as error:
        assert str(error)
