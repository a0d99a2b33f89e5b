"""An inference server on a thread, and what its workers ask."""

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metabonk.games import Observation
from metabonk.inference_server.batch import BatchedForward, Request
from metabonk.inference_server.server import InferenceServer
from metabonk.policy import ActorCritic, PolicySpec, encode_weights
from metabonk.policy.forward import Forward
from metabonk.policy.inference_socket import InferenceSocket
from metabonk.policy.shared_network import SharedNetwork

CAPACITY = 4


class Serving:
    """A server on a thread, with a network of version 3.

    Attributes:
        at_gate: set once a pass is about to be made.
        gate: while it is closed no pass is made.
        batches: the numbers of observations of each pass.
    """

    def __init__(self, spec: PolicySpec, name: str | None = None) -> None:
        self.spec = spec
        self.network = SharedNetwork(ActorCritic(spec).eval())
        self.network.load(encode_weights(ActorCritic(spec), 3))
        self.gate = threading.Event()
        self.gate.set()
        self.at_gate = threading.Event()
        self.batches: list[list[int]] = []
        self.refusal: str | None = None
        self._forward = BatchedForward(self.network, torch.device("cpu"))
        self.name = name or f"test-{os.getpid()}-{id(self)}"
        self.server = InferenceServer(self.name, self._refuse, self._answer)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self.server.serve, args=(self._stopped.is_set,))
        self._thread.start()

    def _refuse(self, spec: PolicySpec) -> str | None:
        return self.refusal or self.spec.difference(spec)

    def _answer(self, requests: Sequence[Request]) -> int:
        self.at_gate.set()
        assert self.gate.wait(20)
        self.batches.append([request.observations for request in requests])
        return self._forward(requests)

    def connect(self, spec: PolicySpec | None = None) -> InferenceSocket:
        return InferenceSocket(self.name, spec or self.spec, CAPACITY)

    def close(self) -> None:
        """Stop serving; may be called twice."""
        if not self._stopped.is_set():
            self._stopped.set()
            self.gate.set()
            self._thread.join()
            self.server.close()


def ask(
    connection: InferenceSocket, seen: Sequence[Observation], memory: NDArray[np.float32]
) -> Forward:
    """Ask for a forward pass, and wait for it."""
    connection.request(seen, memory)
    return connection.answer()


def observations(spec: PolicySpec, count: int, seed: int = 0) -> list[NDArray[Any]]:
    """Return random observations."""
    random = np.random.default_rng(seed)
    if spec.network == "mlp":
        return [*random.standard_normal((count, *spec.observation_shape), np.float32)]
    return [*random.integers(0, 256, (count, *spec.observation_shape), np.uint8)]


def states(spec: PolicySpec, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return random recurrent states."""
    return np.random.default_rng(seed).standard_normal((count, spec.memory), np.float32)
