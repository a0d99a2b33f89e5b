"""One game of a worker: the episode that is played in it, and the rollout that grows of it."""

from collections.abc import Callable
from typing import NamedTuple

from metabonk.games import FrameSink, Game, Observation
from metabonk.policy import Decision, RolloutBuilder


class EpisodeEnd(NamedTuple):
    """An episode that is over.

    Attributes:
        total_reward: unshaped return.
        length: policy decisions.
    """

    total_reward: float
    length: int


class StepResult(NamedTuple):
    """What came of one decision.

    Attributes:
        rollout: as safetensors, when the decision completed one.
        ended: the episode, when the decision ended it.
    """

    rollout: bytes | None
    ended: EpisodeEnd | None


class EnvRunner:
    """A game and its episode. One thread at a time may use it.

    Args:
        game: what is played; the lane's own from now on.
        number: of the game in its worker; 0 is the one that is shown.
        builder: gathers rollouts; None where nothing learns.
        on_begin: told whenever an episode has begun.

    Attributes:
        reward: unshaped, of the last decision.
    """

    def __init__(
        self,
        game: Game,
        number: int,
        builder: RolloutBuilder | None,
        on_begin: Callable[[], None] | None = None,
    ) -> None:
        self.game = game
        self.number = number
        self._builder = builder
        self._on_begin = on_begin
        self._total_reward = 0.0
        self._length = 0
        self._observation: Observation | None = None
        self.reward = 0.0

    @property
    def total_reward(self) -> float:
        """Unshaped, of the episode so far."""
        return self._total_reward

    @property
    def length(self) -> int:
        """Policy decisions of the episode so far."""
        return self._length

    def begin(self) -> None:
        """Begins an episode.

        Raises:
            GameError: the game broke.
        """
        self._observation = self.game.reset()
        self._total_reward, self._length = 0.0, 0
        if self._on_begin is not None:
            self._on_begin()

    def seen(self) -> Observation:
        """The observation that the next decision is to be made on."""
        assert self._observation is not None, "a lane begins before it is played"
        return self._observation

    def step(
        self, decision: Decision, version: int, on_frame: FrameSink | None = None
    ) -> StepResult:
        """Does what was decided; begins the next episode when this one has ended.

        Args:
            decision: made on what was ``seen``.
            version: of the weights that made it.
            on_frame: given every drawn tic.

        Raises:
            GameError: the game broke.
        """
        observation = self.seen()
        moved = self.game.step(decision.action, on_frame)
        self._observation = moved.observation
        self.reward = moved.reward
        self._total_reward += moved.reward
        self._length += 1
        rollout = None
        if self._builder is not None:
            rollout = self._builder.add(observation, decision, moved, version)
        ended = None
        if moved.terminated or moved.truncated:
            ended = EpisodeEnd(self._total_reward, self._length)
            self.begin()
        return StepResult(None if rollout is None else rollout.to_bytes(), ended)
