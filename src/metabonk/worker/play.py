"""The play thread: the policy chooses, the game moves, the rollout grows.

Live, every tic is drawn at the spectators' size, paced, and offered to the streamer. In standby
nothing is paced and nothing is drawn that the policy doesn't see. A change never ends an episode.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from metabonk.games import Game, Transition
from metabonk.messages import Episode
from metabonk.policy import Actor, Decision, RolloutBuilder
from metabonk.process import lower_priority
from metabonk.streaming.rates import Rate
from metabonk.worker.pacing import Pacer
from metabonk.worker.streamer import Streamer
from metabonk.worker.uplink import Uplink


class Player:
    """Plays one game with the newest policy.

    Args:
        game: what is played.
        actor: what plays it.
        streamer: gets the frames while it is live.
        uplink: rollouts and weights; None in play mode, where nothing learns.
        on_episode: told of every finished episode.
        worker_index: for episodes.
        spectator_size: width and height of the stream, pixels.
        fps: frame rate of the stream.
        rollout_steps: policy decisions a rollout holds.
    """

    def __init__(
        self,
        game: Game,
        actor: Actor,
        streamer: Streamer,
        uplink: Uplink | None,
        on_episode: Callable[[Episode], None],
        *,
        worker_index: int,
        spectator_size: tuple[int, int],
        fps: int,
        rollout_steps: int,
    ) -> None:
        self._game = game
        self._actor = actor
        self._streamer = streamer
        self._uplink = uplink
        self._on_episode = on_episode
        self._worker_index = worker_index
        self._spectator_size = spectator_size
        self._pacer = Pacer(fps)
        self._builder = RolloutBuilder(actor.spec, rollout_steps)
        self._large = False
        self._live = False
        self._observation: NDArray[np.uint8] | None = None
        self._total_reward = 0.0
        self._length = 0
        self.steps = Rate()
        self.episodes = 0
        self.episode_return: float | None = None
        self.newest_frame: NDArray[np.uint8] | None = None
        """``H×W×3`` uint8 RGB, for the snapshot."""

    def run(self, stopped: Callable[[], bool]) -> None:
        """Plays until ``stopped``: live on the calling thread, standby on one of lower priority.

        So live play takes what it needs, and training takes the rest. There are two threads since
        an unprivileged process may lower a thread's priority and never raise it again.
        """
        with ThreadPoolExecutor(1, "standby-play", initializer=lower_priority) as background:
            while not stopped():
                self._follow_wish()
                if self._live:
                    self._play(stopped)
                else:
                    background.submit(self._play, stopped).result()

    def _follow_wish(self) -> None:
        self._live = self._streamer.live
        self._pacer.restart()
        self.steps.restart()
        if self._large != self._streamer.wanted:
            self._large = self._streamer.wanted
            self._game.spectate(self._spectator_size if self._large else None)

    def _play(self, stopped: Callable[[], bool]) -> None:
        """Plays until it is stopped or the director's wish calls for a change."""
        while (
            not stopped()
            and self._live == self._streamer.live
            and self._large == self._streamer.wanted
        ):
            self._decide()

    def _decide(self) -> None:
        if self._observation is None:
            self._observation = self._game.reset()
            self._total_reward, self._length = 0.0, 0
            self._streamer.drawing_large(self._large)
        observation = self._observation
        decision = self._actor.act(observation)
        moved = self._game.step(decision.action, self._spectate if self._live else None)
        if not self._live:
            self.newest_frame = self._game.frame()
        self._total_reward += moved.reward
        self._length += 1
        self.steps.count()
        self._record(observation, decision, moved)
        self._observation = moved.observation
        if moved.terminated or moved.truncated:
            self._observation = None
            self._finished(self._total_reward, self._length)

    def _spectate(self, pixels: NDArray[np.uint8]) -> None:
        pause = self._pacer.wait(time.monotonic())
        if pause > 0:
            time.sleep(pause)
        self.newest_frame = pixels
        self._streamer.offer(pixels)

    def _record(
        self, observation: NDArray[np.uint8], decision: Decision, moved: Transition
    ) -> None:
        if self._uplink is None:
            return
        rollout = self._builder.add(observation, decision, moved, self._actor.version)
        if rollout is None:
            return
        self._uplink.submit(rollout.to_bytes(), may_wait=not self._live)
        if weights := self._uplink.newer_weights():
            self._actor.load(weights)

    def _finished(self, total_reward: float, length: int) -> None:
        self.episodes += 1
        self.episode_return = total_reward
        self._on_episode(
            Episode(
                worker_index=self._worker_index,
                episode=self.episodes,
                total_reward=total_reward,
                length=length,
                step=self.steps.total,
                policy_version=self._actor.version,
                ended_at=time.time(),
            )
        )
