"""Forward passes that a real GPU has recorded: as the network makes them by itself."""

import threading

import pytest
import torch

from metabonk.inference_server.batch import SIZES, BatchedForward
from metabonk.policy import ActorCritic, PolicySpec, encode_weights
from metabonk.policy.shared_network import SharedNetwork
from tests.support.slabs import assert_answered, make_request
from tests.support.specs import ALL_SPECS, RECURRENT, TINY

pytestmark = pytest.mark.usefixtures("exact")

KINDS = pytest.mark.parametrize(
    "spec", ALL_SPECS, ids=lambda spec: f"{spec.action_kind}-{spec.memory}"
)


def make_network(spec: PolicySpec, device: torch.device) -> SharedNetwork:
    return SharedNetwork(ActorCritic(spec).eval().to(device))


@KINDS
def test_requests_of_any_size_get_what_the_network_says(cuda: torch.device, spec: PolicySpec):
    network = make_network(spec, cuda)
    forward = BatchedForward(network, cuda)
    for counts in ((1,), (8,), (3, 6), (16, 1), (30, 2, 1), (100, 100), (256, 256)):
        requests = [make_request(spec, count, seed) for seed, count in enumerate(counts)]
        forward(requests)
        assert_answered(requests, network)


def test_more_observations_than_the_largest_pass_has_are_divided(cuda: torch.device):
    network = make_network(RECURRENT, cuda)
    requests = [make_request(RECURRENT, count, count) for count in (256, 255, 2, 256, 1)]
    assert sum(request.observations for request in requests) > SIZES[0]
    BatchedForward(network, cuda)(requests)
    assert_answered(requests, network)


@KINDS
def test_new_weights_answer_from_the_next_pass_on(cuda: torch.device, spec: PolicySpec):
    network = make_network(spec, cuda)
    forward = BatchedForward(network, cuda)
    for version in (5, 6, 6, 2, 7):  # The learner may have gone back to a checkpoint.
        network.load(encode_weights(ActorCritic(spec), version))
        requests = [make_request(spec, 3, version)]
        assert forward(requests) == version
        assert_answered(requests, network)


def test_weights_may_be_loaded_while_passes_are_recorded_and_made(cuda: torch.device):
    network = make_network(TINY, cuda)
    weights = []
    for version in range(20):
        policy = ActorCritic(TINY)
        policy.value_head.weight.data.zero_()
        policy.value_head.bias.data.fill_(version)
        weights.append(encode_weights(policy, version))
    network.load(weights[0])
    stopped = threading.Event()

    def load() -> None:
        while not stopped.is_set():
            for each in weights:
                network.load(each)

    loading = threading.Thread(target=load)
    loading.start()
    try:
        forward = BatchedForward(network, cuda)
        versions = set()
        for number in range(2_000):
            request = make_request(TINY, 1 + number % 20)
            version = forward([request])
            assert request.slab.values[: request.observations].tolist() == [
                pytest.approx(version)
            ] * (request.observations)
            versions.add(version)
    finally:
        stopped.set()
        loading.join()
    assert len(versions) > 1
