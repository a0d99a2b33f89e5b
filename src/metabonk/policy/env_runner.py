"""One game of a worker: its episode, and the rollout being gathered from it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from metabonk.games import FrameSink, Game, Observation
from metabonk.policy.actor import Decision
from metabonk.policy.episode_recorder import EpisodeRecorder, Recording
from metabonk.policy.rollout import EpisodeEnd, RolloutBuilder


class StepResult(NamedTuple):
    """Outcome of one step.

    Attributes:
        rollout: completed by the step, as safetensors; None where it completed none.
        episode_end: None where the step ended no episode.
        recording: of the episode that it ended; None where it is not recorded, or too long.
    """

    rollout: bytes | None
    episode_end: EpisodeEnd | None
    recording: Recording | None = None


class EnvRunner:
    """A game and its episode. For one thread at a time.

    Args:
        game: to play; owned by the runner from now on.
        number: of the game in its worker; game 0 is the shown one.
        builder: gathers rollouts; None where nothing learns.
        seeds: of the episodes, without end.
        on_reset: called whenever an episode has begun.
        on_life_lost: called whenever one has begun for learning only, see ``Transition.life_lost``.
        recorder: records the episodes; None: nobody does.

    Attributes:
        reward: unshaped, of the last step.
        total_reward: unshaped, of the episode so far.
        length: steps of the episode so far.
    """

    def __init__(
        self,
        game: Game,
        number: int,
        builder: RolloutBuilder | None,
        *,
        seeds: Iterator[int],
        on_reset: Callable[[], None] | None = None,
        on_life_lost: Callable[[], None] | None = None,
        recorder: EpisodeRecorder | None = None,
    ) -> None:
        self.game = game
        self.number = number
        self.reward = 0.0
        self.total_reward = 0.0
        self.length = 0
        self._builder = builder
        self._seeds = seeds
        self._on_reset = on_reset
        self._on_life_lost = on_life_lost
        self._recorder = recorder
        self._observation: Observation | None = None

    def reset(self) -> None:
        """Begin an episode.

        Raises:
            GameError: the game broke.
        """
        seed = next(self._seeds)
        if self._recorder is not None:
            self._recorder.begin(seed, self.game.carried_state())
        self._observation = self.game.reset(seed)
        self.total_reward, self.length = 0.0, 0
        if self._on_reset is not None:
            self._on_reset()

    @property
    def observation(self) -> Observation:
        """Observation for the next decision."""
        assert self._observation is not None, "a runner is reset before its first step"
        return self._observation

    def begin_step(self, decision: Decision) -> bool:
        """Begin the step that ``step`` completes; see ``Game.begin_step``."""
        return self.game.begin_step(decision.action)

    def step(self, decision: Decision, on_frame: FrameSink | None = None) -> StepResult:
        """Take the action decided on, and begin the next episode where it ends this one.

        Args:
            decision: made on ``observation``.
            on_frame: see ``Game.step``.

        Raises:
            GameError: the game broke.
        """
        observation = self.observation
        transition = self.game.step(decision.action, on_frame)
        self._observation = transition.observation
        self.reward = transition.reward
        self.total_reward += transition.reward
        self.length += 1
        if self._recorder is not None:
            self._recorder.add(decision, transition)
        end = recording = None
        if transition.terminated or transition.truncated:
            # Not validated: the learner does that, and a return out of bounds must not end play.
            end = EpisodeEnd.model_construct(total_reward=self.total_reward, length=self.length)
            if self._recorder is not None:
                recording = self._recorder.finish(decision.version, self.total_reward)
        rollout = None
        if self._builder is not None:
            rollout = self._builder.add(observation, decision, transition, end)
        if end is not None:
            self.reset()
        elif transition.life_lost and self._on_life_lost is not None:
            self._on_life_lost()
        return StepResult(None if rollout is None else rollout.to_bytes(), end, recording)
