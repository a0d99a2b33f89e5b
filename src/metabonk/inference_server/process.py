"""The inference server's process: fetches weights in a thread, and serves in the main thread."""

import contextlib
import logging
from collections.abc import Sequence

import torch

from metabonk.errors import PolicyError, StartError
from metabonk.http.weights_poller import WeightsPoller
from metabonk.inference_server.batch import BatchedForward, Request
from metabonk.inference_server.server import InferenceServer
from metabonk.policy import ActorCritic, PolicySpec, decode_weights
from metabonk.policy.shared_network import SharedNetwork
from metabonk.settings import Settings
from metabonk.system import peers
from metabonk.system.contact import Contact
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

CLOSE_S = 0.2
"""Wait for the thread that fetches weights; the learner may be ending too, and never answer."""


def run(settings: Settings, number: int) -> None:
    """Serve until SIGTERM.

    Args:
        settings: of the fleet.
        number: of the server in the fleet, which has one for each GPU.

    Raises:
        MetaBonkError: another process has the server's name.
    """
    stop = StopSignal()
    stop.watch_threads()
    torch.set_num_threads(1)
    model = Model(choose_device(settings))
    name = peers.inference_server_name(settings.ports.learner, number)
    try:
        server = InferenceServer(name, model.refuse, model.forward)
    except OSError as error:
        raise StartError(f"another process is {name} of this machine: {error.strerror}") from None
    contact = Contact("the learner", "the newest weights go on deciding")
    poller = WeightsPoller(
        f"http://{settings.internal_authority(settings.ports.learner)}",
        model.load,
        on_answer=contact.found,
        on_failure=contact.lost,
    )
    with contextlib.closing(server):
        if model.device is None:
            log.info("PyTorch can't use this GPU: every worker decides by itself")
        else:
            log.info("decides on %s for the workers of this GPU", model.device)
            poller.start()
        server.serve(stop.is_set)
        poller.close(CLOSE_S)
    log.info("stops after %d decisions in %d forward passes", server.decided, server.passes)
    stop.raise_failure()


def choose_device(settings: Settings) -> torch.device | None:
    """Return the device to decide on; None if workers should decide by themselves."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu") if settings.worker.inference == "shared" else None


class Model:
    """The learner's network, from the arrival of its first weights on.

    Args:
        device: to compute on; None if it never does.

    Attributes:
        device: the same.
    """

    def __init__(self, device: torch.device | None) -> None:
        self.device = device
        self._network: SharedNetwork | None = None
        self._spec: PolicySpec | None = None
        self._forward: BatchedForward | None = None
        self._missing = "the learner has sent no weights yet"

    def load(self, data: bytes) -> None:
        """Use these weights from now on.

        Raises:
            WireError: they can't be read.
            PolicyError: they are for another policy than the first, or the GPU is full.
        """
        assert self.device is not None, "there is nothing to load them for"
        if self._network is None:
            try:
                self._make(data, self.device)
            except torch.OutOfMemoryError:
                self._missing = "its GPU has too little memory"
                raise PolicyError(f"{self._missing}; every worker decides by itself") from None
        else:
            self._network.load(data)

    def _make(self, data: bytes, device: torch.device) -> None:
        spec = decode_weights(data).spec
        network = SharedNetwork(ActorCritic(spec).eval().to(device))
        network.load(data)
        self._network, self._forward = network, BatchedForward(network, device)
        self._spec = spec

    def refuse(self, spec: PolicySpec) -> str | None:
        """Return why it can't decide for a policy now; None if it can."""
        if self.device is None:
            return "PyTorch can't use this GPU"
        if self._spec is None:
            return self._missing
        difference = self._spec.difference(spec)
        return None if difference is None else f"the worker's policy doesn't fit: {difference}"

    def forward(self, requests: Sequence[Request]) -> int:
        """Answer requests of workers that were not refused; see ``BatchedForward``."""
        assert self._forward is not None, "nobody is accepted before there are weights"
        return self._forward(requests)
