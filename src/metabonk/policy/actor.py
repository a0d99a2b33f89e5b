"""Acts: one observation in, one decision out."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metabonk.policy.network import ActorCritic
from metabonk.policy.spec import PolicySpec
from metabonk.policy.weights import load_weights


class Decision(NamedTuple):
    """What the policy chose, and what it thought.

    Attributes:
        action: index of the chosen action.
        log_prob: natural logarithm of the probability it was chosen with.
        value: the discounted return it expects from here, in the game's reward units.
        probabilities: of every action, ``[A]`` float32.
    """

    action: int
    log_prob: float
    value: float
    probabilities: NDArray[np.float32]


class Actor:
    """A policy that acts. Starts untrained, as version 0.

    Sets the whole process to one torch thread: a forward pass of one picture takes less time than
    waking a second thread, and the other cores belong to other workers.

    Args:
        spec: what it sees and can do.
        seed: of its first weights and its choices; the same seed, weights and observations lead
            to the same choices.

    Raises:
        PolicyError: no network fits the spec.
    """

    def __init__(self, spec: PolicySpec, *, seed: int = 0) -> None:
        torch.set_num_threads(1)
        self.spec = spec
        self.version = 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = ActorCritic(spec).eval()
        self._random = np.random.default_rng(seed)

    def act(self, observation: NDArray[np.uint8]) -> Decision:
        """Chooses an action at random, by the policy's probabilities.

        Args:
            observation: ``C×H×W`` uint8.
        """
        with torch.inference_mode():
            output = self._network(torch.from_numpy(observation).unsqueeze(0))
            log_probs: NDArray[np.float32] = output.log_probs[0].numpy()
            value = float(self._network.denormalise(output.values)[0])
        probabilities = np.exp(log_probs)
        cumulative = np.cumsum(probabilities, dtype=np.float64)
        # Scaled by the sum, which rounding leaves a little off 1.
        drawn = self._random.random() * cumulative[-1]
        action = min(int(np.searchsorted(cumulative, drawn, side="right")), self.spec.actions - 1)
        return Decision(action, min(0.0, float(log_probs[action])), value, probabilities)

    def load(self, weights: bytes) -> None:
        """Acts with these weights from now on; ``version`` becomes theirs.

        Args:
            weights: from ``encode_weights``, or a whole checkpoint file.

        Raises:
            WireError: they can't be read.
            PolicyError: they are for another game or network.
        """
        self.version = load_weights(self._network, weights)
