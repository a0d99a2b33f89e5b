"""Acts: observations of several games in, a decision for each out."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metabonk.policy.network import ActorCritic
from metabonk.policy.spec import PolicySpec
from metabonk.policy.weights import load_weights


class Decision(NamedTuple):
    """What the policy chose, and what it thought.

    Attributes:
        action: what was chosen, as ``Game.step`` takes it.
        log_prob: natural logarithm of the probability it was chosen with.
        value: the discounted return it expects from here, in the game's reward units.
        probabilities: of every action, ``[A]`` float32.
        memory: the recurrent state before the decision, ``[H]`` float32; None without one.
    """

    action: Any
    log_prob: float
    value: float
    probabilities: NDArray[np.float32]
    memory: NDArray[np.float32] | None = None


class Actor:
    """A policy that acts. Starts untrained, as version 0.

    Sets the whole process to one torch thread: a forward pass of one picture takes less time than
    waking a second thread, and the other cores belong to other workers.

    Args:
        spec: what it sees and can do.
        seed: of its first weights and its choices; the same seed, weights and observations lead
            to the same choices.
        greedy: whether the likeliest action is chosen, instead of one drawn by the probabilities.
        device: where to act; default: the first GPU, else the processor.

    Any number of threads may act at once, each for games of its own; one at a time may load.

    Raises:
        PolicyError: no network fits the spec.
    """

    def __init__(
        self,
        spec: PolicySpec,
        *,
        seed: int = 0,
        greedy: bool = False,
        device: torch.device | None = None,
    ) -> None:
        torch.set_num_threads(1)
        self.spec = spec
        self.version = 0
        self._greedy = greedy
        self._device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = ActorCritic(spec).eval().to(self._device)
        self._random = np.random.default_rng(seed)

    def act(self, observations: Sequence[NDArray[Any]], games: Sequence[int]) -> list[Decision]:
        """Chooses an action for each game, in one forward pass.

        Args:
            observations: one a game, ``C×H×W`` uint8.
            games: whose they are, by number.
        """
        network = self._network
        with torch.inference_mode():
            output = network(torch.from_numpy(np.stack(observations)).to(self._device))
            log_probs: NDArray[np.float32] = output.log_probs.cpu().numpy()
            values: NDArray[np.float32] = network.denormalise(output.values).cpu().numpy()
        return [self._decide(*each) for each in zip(log_probs, values, strict=True)]

    def forget(self, game: int) -> None:
        """An episode of this game begins: what was remembered of the last one is forgotten."""

    def load(self, weights: bytes) -> None:
        """Acts with these weights from now on; ``version`` becomes theirs.

        Args:
            weights: from ``encode_weights``, or a whole checkpoint file.

        Raises:
            WireError: they can't be read.
            PolicyError: they are for another game or network.
        """
        # Put into a copy: another thread may be acting with the network.
        network = copy.deepcopy(self._network)
        version = load_weights(network, weights)
        self._network, self.version = network, version

    def _decide(self, log_probs: NDArray[np.float32], value: np.float32) -> Decision:
        probabilities = np.exp(log_probs)
        if self._greedy:
            action = int(probabilities.argmax())
        else:
            cumulative = np.cumsum(probabilities, dtype=np.float64)
            # Scaled by the sum, which rounding leaves a little off 1.
            drawn = self._random.random() * cumulative[-1]
            chosen = int(np.searchsorted(cumulative, drawn, side="right"))
            action = min(chosen, self.spec.actions - 1)
        return Decision(action, min(0.0, float(log_probs[action])), float(value), probabilities)
