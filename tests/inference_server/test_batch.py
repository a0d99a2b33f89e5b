"""Forward passes for several workers at once; ``tests/gpu`` repeats them on a GPU."""

import pytest
import torch

from metabonk.inference_server.batch import SIZES, BatchedForward
from metabonk.policy import ActorCritic, PolicySpec, encode_weights
from metabonk.policy.inference_wire import MAX_CAPACITY
from metabonk.policy.shared_network import SharedNetwork
from tests.support.slabs import assert_answered, make_request
from tests.support.specs import ALL_SPECS, RECURRENT, VECTOR

CPU = torch.device("cpu")


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: f"{spec.action_kind}-{spec.memory}")
def test_each_request_gets_what_the_network_makes_of_its_own_observations(spec: PolicySpec):
    network = SharedNetwork(ActorCritic(spec).eval())
    forward = BatchedForward(network, CPU)
    for counts in ((3,), (2, 1, 5), (1,)):
        requests = [make_request(spec, count, seed) for seed, count in enumerate(counts)]
        assert forward(requests) == 0
        assert_answered(requests, network)


def test_more_observations_than_a_pass_has_rows_are_divided():
    assert SIZES[0] >= MAX_CAPACITY, "one request fits into a pass"
    network = SharedNetwork(ActorCritic(RECURRENT).eval())
    forward = BatchedForward(network, CPU)
    counts = (255, 1, 256, 1, 100, 256, 157, 1)
    requests = [make_request(RECURRENT, count, seed) for seed, count in enumerate(counts)]
    forward(requests)
    assert_answered(requests, network)


def test_the_newest_weights_answer():
    network = SharedNetwork(ActorCritic(VECTOR).eval())
    forward = BatchedForward(network, CPU)
    for version in (1, 2, 3):
        network.load(encode_weights(ActorCritic(VECTOR), version))
        requests = [make_request(VECTOR, 2)]
        assert forward(requests) == version
        assert_answered(requests, network)
