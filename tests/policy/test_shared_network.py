"""Networks that are used while their weights are replaced."""

from contextlib import ExitStack

import pytest

from metabonk.errors import PolicyError
from metabonk.policy import ActorCritic, encode_weights
from metabonk.policy.shared_network import SharedNetwork
from tests.support.specs import OTHER_GAME, TINY


def weights(version: int) -> bytes:
    network = ActorCritic(TINY)
    network.value_head.bias.data.fill_(version)
    return encode_weights(network, version)


def bias(network: ActorCritic) -> float:
    return network.value_head.bias.item()


def test_each_user_keeps_the_weights_that_were_newest_when_it_began():
    shared = SharedNetwork(ActorCritic(TINY))
    with ExitStack() as using:
        used = []
        for version in range(1, 5):
            shared.load(weights(version))
            used.append(using.enter_context(shared.newest()))
        shared.load(weights(5))
        assert [(bias(network), version) for network, version in used] == [
            (version, version) for version in range(1, 5)
        ]
    with shared.newest() as (network, version):
        assert bias(network) == version == shared.version == 5


def test_networks_are_used_again_once_nobody_uses_them():
    shared = SharedNetwork(ActorCritic(TINY))
    seen = set()
    for version in range(1, 20):
        shared.load(weights(version))
        with shared.newest() as (network, _):
            shared.load(weights(version))
            seen.add(network)
    assert len(seen) <= 3


def test_a_network_whose_use_ended_in_an_error_is_free():
    shared = SharedNetwork(ActorCritic(TINY))
    seen = set()
    for version in range(1, 20):
        with pytest.raises(ZeroDivisionError), shared.newest() as (network, _):
            seen.add(network)
            raise ZeroDivisionError
        shared.load(weights(version))
    assert len(seen) == 2


def test_weights_that_do_not_fit_change_nothing():
    shared = SharedNetwork(ActorCritic(TINY))
    shared.load(weights(1))
    with pytest.raises(PolicyError):
        shared.load(encode_weights(ActorCritic(OTHER_GAME), 2))
    with shared.newest() as (network, version):
        assert bias(network) == version == shared.version == 1
    shared.load(weights(3))
    assert shared.version == 3
