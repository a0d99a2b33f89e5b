"""The actor: chooses an action for each of several games in one forward pass."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metabonk.games import Observation
from metabonk.policy.action_choice import choose
from metabonk.policy.forward import Forward, forward
from metabonk.policy.network import ActorCritic
from metabonk.policy.saliency import saliency_map
from metabonk.policy.shared_network import SharedNetwork
from metabonk.policy.spec import PolicySpec


class Decision(NamedTuple):
    """A chosen action, and what the policy made of the situation.

    Attributes:
        action: as ``Game.step`` takes it.
        log_prob: natural logarithm of the action's probability, or density for continuous actions.
        value: expected discounted return from here, in the game's reward units.
        probabilities: of every option, ``[A]`` float32; A is 0 for continuous actions.
        memory: the recurrent state before the decision, ``[H]`` float32; None without one.
        version: of the weights that chose.
    """

    action: Any
    log_prob: float
    value: float
    probabilities: NDArray[np.float32]
    memory: NDArray[np.float32] | None = None
    version: int = 0


class Actor:
    """A policy acting in several games. Starts untrained, as version 0.

    Several threads may act at once, each for its own games, while another loads weights.

    Sets the whole process to one torch thread: a forward pass of a few observations takes less time
    than waking a second thread, and the other cores belong to other workers.

    Args:
        spec: of the policy.
        seed: of the initial weights and the sampled actions. The same seed, weights and
            observations of a game lead to the same actions in it, whatever other games are played.
        device: to compute on; default: the first GPU, else the CPU.
        greedy: always choose the most probable action instead of sampling one.

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
        self._device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = SharedNetwork(ActorCritic(spec).eval().to(self._device))
        self._greedy = greedy
        self._seed = seed
        self._randoms: dict[int, np.random.Generator] = {}
        self._memories: dict[int, NDArray[np.float32]] = {}

    @property
    def version(self) -> int:
        """Version of the weights that it acts with now."""
        return self._network.version

    @property
    def observes_images(self) -> bool:
        """True if observations are images, not vectors."""
        return len(self.spec.observation_shape) > 1

    def act(
        self,
        observations: Sequence[Observation],
        games: Sequence[int],
        made: Forward | None = None,
    ) -> list[Decision]:
        """Choose an action for each game, in one forward pass.

        Args:
            observations: one per game, as the spec says.
            games: their numbers; each has its own recurrent state and random generator.
            made: the forward pass on them and on ``memory(games)``; None: this actor makes it.
        """
        memory = self.memory(games)
        parameters, values, after, version = made or forward(self._network, observations, memory)
        randoms = None if self._greedy else self._generators(games)
        actions, log_probs, probabilities = choose(self.spec, parameters, randoms)
        if self.spec.memory:
            self._memories |= zip(games, after, strict=True)
        # An index leaves numpy here; several choices, or axes, stay an array.
        chosen = actions.tolist() if actions.ndim == 1 else actions
        before = memory if self.spec.memory else [None] * len(games)
        columns = chosen, log_probs.tolist(), values.tolist(), probabilities, before
        return [Decision(*row, version) for row in zip(*columns, strict=True)]

    def memory(self, games: Sequence[int]) -> NDArray[np.float32]:
        """Return the recurrent states that the next decisions for these games start from."""
        memory = np.zeros((len(games), self.spec.memory), np.float32)
        if self.spec.memory:
            for row, game in enumerate(games):
                memory[row] = self._memories.get(game, 0.0)
        return memory

    def reset_state(self, game: int) -> None:
        """Clear the recurrent state of a game whose next episode begins."""
        self._memories.pop(game, None)

    def load(self, weights: bytes) -> None:
        """Act with these weights from now on.

        No thread that acts has to wait, and a decision in progress is of the weights before.

        Args:
            weights: from ``encode_weights``, or a whole checkpoint file.

        Raises:
            WireError: they can't be read.
            PolicyError: they are for another game or network.
        """
        self._network.load(weights)

    def saliency(self, observation: Observation, decision: Decision) -> NDArray[np.uint8]:
        """Compute ``policy.saliency.saliency_map`` of a decision.

        Args:
            observation: an image.
            decision: that was made on it.
        """
        image = np.asarray(observation)
        with self._network.newest() as (network, _):
            return saliency_map(network, image, decision.action, decision.memory)

    def _generators(self, games: Sequence[int]) -> list[np.random.Generator]:
        """Return one generator per game, since no two threads may share one."""
        for game in games:
            if game not in self._randoms:
                self._randoms[game] = np.random.default_rng((self._seed, game))
        return [self._randoms[game] for game in games]
