"""A network that several threads use while another replaces its weights."""

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from metabonk.policy.network import ActorCritic
from metabonk.policy.weights import load_weights


class SharedNetwork:
    """Copies of a network, of which none that is in use is ever written to.

    Nobody who uses the newest waits for weights that are loaded. There are as many copies as
    threads have used at a time, and two more at most.

    Args:
        network: its weights are version 0.
    """

    def __init__(self, network: ActorCritic) -> None:
        self._newest = _Copy(network)
        self._copies = [self._newest]
        self._loading = threading.Lock()
        # Held for an instant only: it guards the newest copy, and the number of users of each.
        self._lock = threading.Lock()

    @property
    def version(self) -> int:
        """Version of the newest weights."""
        return self._newest.version

    @contextmanager
    def newest(self) -> Iterator[tuple[ActorCritic, int]]:
        """Use the newest network, which is unchanged meanwhile, and its version."""
        with self._lock:
            used = self._newest
            used.users += 1
        try:
            yield used.network, used.version
        finally:
            with self._lock:
                used.users -= 1

    def load(self, weights: bytes) -> None:
        """Replace the weights for whoever uses the network from now on.

        Raises:
            WireError: they can't be read.
            PolicyError: they are for another game or network.
        """
        with self._loading:
            spare = self._take_spare()
            spare.version = load_weights(spare.network, weights)
            with self._lock:
                self._newest = spare

    def _take_spare(self) -> "_Copy":
        with self._lock:
            newest = self._newest
            for each in self._copies:
                if each is not newest and not each.users:
                    return each
        spare = _Copy(copy.deepcopy(newest.network))
        self._copies.append(spare)
        return spare


class _Copy:
    def __init__(self, network: ActorCritic) -> None:
        self.network = network
        self.version = 0
        self.users = 0
