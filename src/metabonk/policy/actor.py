"""Acts: observations in, decisions out."""

from collections.abc import Sequence
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
    """A policy that acts in several games. Starts untrained, as version 0.

    Several threads may act at once, each for games of its own, and one of them may load weights
    meanwhile.

    Sets the whole process to one torch thread: a forward pass of a few pictures takes less time
    than waking a second thread, and the other cores belong to other workers.

    Args:
        spec: what it sees and can do.
        seed: of its first weights and its choices; the same seed, weights and observations of a
            game lead to the same choices in it, whatever other games are played.
        device: where it computes; default: the first GPU, else the processor.
        greedy: always the likeliest action, instead of one drawn by the probabilities.

    Raises:
        PolicyError: no network fits the spec.
    """

    def __init__(
        self,
        spec: PolicySpec,
        *,
        seed: int = 0,
        device: torch.device | None = None,
        greedy: bool = False,
    ) -> None:
        torch.set_num_threads(1)
        self.spec = spec
        self.version = 0
        self._device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._greedy = greedy
        self._seed = seed
        self._random: dict[int, np.random.Generator] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = ActorCritic(spec).eval().to(self._device)
            # Weights are loaded into the one that doesn't act, and then it acts.
            self._spare = ActorCritic(spec).eval().to(self._device)

    def act(
        self, observations: Sequence[NDArray[np.uint8]], games: Sequence[int]
    ) -> list[Decision]:
        """Chooses an action for each game, in one forward pass.

        Args:
            observations: ``C×H×W`` uint8, one a game.
            games: their numbers.
        """
        network = self._network
        with torch.inference_mode():
            output = network(torch.from_numpy(np.stack(observations)).to(self._device))
            log_probs: NDArray[np.float32] = output.log_probs.cpu().numpy()
            values = network.denormalise(output.values).cpu().numpy()
        return [
            self._choose(game, log_probs[row], float(values[row])) for row, game in enumerate(games)
        ]

    def load(self, weights: bytes) -> None:
        """Acts with these weights from now on; ``version`` becomes theirs.

        Args:
            weights: from ``encode_weights``, or a whole checkpoint file.

        Raises:
            WireError: they can't be read.
            PolicyError: they are for another game or network.
        """
        version = load_weights(self._spare, weights)
        self._network, self._spare = self._spare, self._network
        self.version = version

    def _choose(self, game: int, log_probs: NDArray[np.float32], value: float) -> Decision:
        probabilities = np.exp(log_probs)
        if self._greedy:
            action = int(np.argmax(log_probs))
        else:
            cumulative = np.cumsum(probabilities, dtype=np.float64)
            # Scaled by the sum, which rounding leaves a little off 1.
            drawn = self._generator(game).random() * cumulative[-1]
            action = int(np.searchsorted(cumulative, drawn, side="right"))
            action = min(action, self.spec.actions - 1)
        return Decision(action, min(0.0, float(log_probs[action])), value, probabilities)

    def _generator(self, game: int) -> np.random.Generator:
        """One for each game: no generator may be used by two threads at once."""
        if game not in self._random:
            self._random[game] = np.random.default_rng((self._seed, game))
        return self._random[game]
