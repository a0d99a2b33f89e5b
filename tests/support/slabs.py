"""Requests in memory of their own, and what the network makes of them one by one."""

from collections.abc import Sequence

import numpy as np

from metabonk.inference_server.batch import Request
from metabonk.policy import PolicySpec
from metabonk.policy.forward import forward
from metabonk.policy.inference_wire import Hello, InferenceSlab
from metabonk.policy.shared_network import SharedNetwork
from tests.support.inference import observations, states


def make_request(spec: PolicySpec, count: int, seed: int = 0) -> Request:
    """Return a request for ``count`` random observations, in a slab with room for one more."""
    hello = Hello(spec=spec, capacity=min(count + 1, 256))
    slab = InferenceSlab(bytearray(InferenceSlab.size(hello)), hello)
    slab.observations[:count] = observations(spec, count, seed)
    slab.memory[:count] = states(spec, count, seed)
    return Request(slab, count)


def assert_answered(requests: Sequence[Request], network: SharedNetwork) -> None:
    """Check that requests hold what the newest network says, and nothing beyond their rows."""
    for slab, count in requests:
        expected = forward(network, [*slab.observations[:count]], slab.memory[:count])
        for mine, theirs in (
            (slab.parameters, expected.parameters),
            (slab.values, expected.values),
            (slab.next_memory, expected.memory),
        ):
            np.testing.assert_allclose(mine[:count], theirs, rtol=1e-4, atol=1e-5)
            assert not mine[count:].any()
