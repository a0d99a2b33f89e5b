"""Acts: observations of several games in, a decision for each out."""

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metabonk.games import Observation
from metabonk.policy.device_observation import DeviceObservation
from metabonk.policy.network import ActorCritic
from metabonk.policy.saliency import attention
from metabonk.policy.spec import PolicySpec
from metabonk.policy.weights import load_weights


class Decision(NamedTuple):
    """What the policy chose, and what it thought.

    Attributes:
        action: what was chosen, as ``Game.step`` takes it.
        log_prob: natural logarithm of the probability, or along axes the density, of that.
        value: the discounted return it expects from here, in the game's reward units.
        probabilities: of every option, ``[A]`` float32; along axes A is 0.
        memory: the recurrent state before the decision, ``[H]`` float32; None without one.
    """

    action: Any
    log_prob: float
    value: float
    probabilities: NDArray[np.float32]
    memory: NDArray[np.float32] | None = None


class Actor:
    """A policy that acts in several games. Starts untrained, as version 0.

    Several threads may act at once, each for games of its own, and one of them may load weights
    meanwhile.

    Sets the whole process to one torch thread: a forward pass of a few observations takes less time
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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = ActorCritic(spec).eval().to(self._device)
            # Weights are loaded into the one that doesn't act, and then it acts.
            self._spare = ActorCritic(spec).eval().to(self._device)
        self._loading = threading.Lock()
        self._looked_into: ActorCritic | None = None
        self._greedy = greedy
        self._seed = seed
        self._randoms: dict[int, np.random.Generator] = {}
        self._memories: dict[int, NDArray[np.float32]] = {}
        self._nothing = np.zeros(spec.memory, np.float32)

    def act(self, observations: Sequence[Observation], games: Sequence[int]) -> list[Decision]:
        """Chooses an action for each game, in one forward pass.

        Args:
            observations: one a game, as the spec says.
            games: whose they are, by number: each has a memory of its own.
        """
        network, memories = self._network, [self._memories.get(game) for game in games]
        with torch.inference_mode():
            output = network(self._stacked(observations), self._recalled(memories))
            values: NDArray[np.float32] = network.denormalise(output.values).cpu().numpy()
            policy = self.spec.distribution(output.parameters.cpu())
            actions = policy.likeliest() if self._greedy else policy.draw(self._drawn(games))
            log_probs: NDArray[np.float32] = policy.log_prob(torch.from_numpy(actions)).numpy()
            probabilities: NDArray[np.float32] = policy.probabilities().numpy()
        if self.spec.memory:
            self._memories |= zip(games, output.memory.cpu().numpy(), strict=True)
        # An index leaves numpy here; several choices, or axes, are an array.
        chosen = actions.tolist() if actions.ndim == 1 else actions
        return [
            Decision(action, float(log_prob), float(value), options, self._before(memory))
            for action, log_prob, value, options, memory in zip(
                chosen, log_probs, values, probabilities, memories, strict=True
            )
        ]

    @property
    def sees_pictures(self) -> bool:
        """Whether its observations are pictures."""
        return len(self.spec.observation_shape) > 1

    def attention(self, observation: Observation, decision: Decision) -> NDArray[np.uint8]:
        """Where the network looks; see ``policy.attention``. One thread at a time may ask.

        Args:
            observation: a picture.
            decision: that was made on it.
        """
        with self._loading:
            if self._looked_into is None:
                self._looked_into = ActorCritic(self.spec).eval().to(self._device)
            # A gradient can't be taken through weights that are replaced meanwhile.
            self._looked_into.load_state_dict(self._network.state_dict())
        picture = np.asarray(observation)
        return attention(self._looked_into, picture, decision.action, decision.memory)

    def forget(self, game: int) -> None:
        """An episode of this game begins: what was remembered of the last one is forgotten."""
        self._memories.pop(game, None)

    def _stacked(self, observations: Sequence[Observation]) -> torch.Tensor:
        """One batch on the actor's device; what is there already stays."""
        if not any(isinstance(each, DeviceObservation) for each in observations):
            return torch.from_numpy(np.stack(observations)).to(self._device)
        tensors = [
            each.tensor()
            if isinstance(each, DeviceObservation)
            else torch.from_numpy(np.asarray(each))
            for each in observations
        ]
        return torch.stack([tensor.to(self._device) for tensor in tensors])

    def _drawn(self, games: Sequence[int]) -> list[np.random.Generator]:
        """A generator for each game: none may be used by two threads at once."""
        for game in games:
            if game not in self._randoms:
                self._randoms[game] = np.random.default_rng((self._seed, game))
        return [self._randoms[game] for game in games]

    def _recalled(self, memories: Sequence[NDArray[np.float32] | None]) -> torch.Tensor | None:
        if not self.spec.memory:
            return None
        rows = [self._nothing if memory is None else memory for memory in memories]
        return torch.from_numpy(np.stack(rows)).to(self._device)

    def _before(self, memory: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        if not self.spec.memory:
            return None
        return self._nothing if memory is None else memory

    def load(self, weights: bytes) -> None:
        """Acts with these weights from now on; ``version`` becomes theirs.

        Args:
            weights: from ``encode_weights``, or a whole checkpoint file.

        Raises:
            WireError: they can't be read.
            PolicyError: they are for another game or network.
        """
        with self._loading:
            version = load_weights(self._spare, weights)
            self._network, self._spare = self._spare, self._network
            self.version = version
