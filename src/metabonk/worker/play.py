"""The play threads: the policy chooses, the games move, the rollouts grow.

Game 0 is the one that is shown. Live, every tic of it is drawn at the spectators' size, paced, and
offered to the streamer, on the main thread; the other games are played beside it at a lower
priority, and make room while it decides and while it is late, since all share Python's lock. In
standby all are played together, nothing is paced and nothing is drawn that the policy
doesn't see. A change never ends an episode.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from metabonk.errors import PolicyError, WireError
from metabonk.games import Observation
from metabonk.messages import CounterOffset, Episode, Thought
from metabonk.policy import Actor, Decision, DeviceObserver
from metabonk.policy.env_runner import EnvRunner, EpisodeEnd, StepResult
from metabonk.system.process import lower_priority
from metabonk.system.rate import Rate
from metabonk.worker.learner_client import LearnerClient
from metabonk.worker.saliency import DecisionFrame
from metabonk.worker.sampler import DoubleBufferedSampler, EnvPool
from metabonk.worker.streamer import Streamer

log = logging.getLogger(__name__)


class FramePacer:
    """Says how long to rest after each frame, before the next one is drawn.

    A frame is handed over as soon as it is drawn, and rested after: whoever watches has it as much
    sooner as the game is faster than the stream.

    A game that falls behind is not chased: after a late frame the following ones keep their
    distance from it, since frames in a burst would look worse than a short pause.

    Args:
        fps: frames per second.
    """

    def __init__(self, fps: float) -> None:
        self._interval = 1.0 / fps
        self._due: float | None = None

    def wait(self, now: float) -> float:
        """Seconds to sleep after the frame that was handed over at ``now`` (monotonic)."""
        if self._due is None or now - self._due > self._interval:
            self._due = now
        self._due += self._interval
        return max(0.0, self._due - now)


GLANCE_S = 0.25
"""How old the picture of a game in standby may get: one that is rendered on demand costs more than
the decision it shows."""

HOLD_S = 0.1
"""How long a worker that is ahead of the learner waits before it looks whether it should change."""

MAKE_ROOM_S = 0.1
"""How long the other games stand still at most before their next turn: beside a live game that is
always late they still learn."""

MOST_MOVING = 8
"""Games that move at once while nobody watches: each waits for its engine most of the time, and
with two of them a core had nothing to do for a tenth of it (docs/benchmarks.md, "Scheduling
of games on few cores")."""

MOST_MOVING_BESIDE_LIVE = 2
"""The same beside a live game, which would wait for Python's lock (docs/benchmarks.md, "Live at 60
frames a second")."""


class PlayLoop:
    """Plays the games of a worker with the newest policy.

    Args:
        lanes: the games; the shown one has not begun.
        actor: what plays them.
        streamer: gets the frames while it is live.
        uplink: rollouts and weights; None in play mode, where nothing learns.
        on_episode: told of every finished episode.
        on_decision: told of every decision that is shown.
        worker_index: for episodes.
        waits: whether games that nobody sees stand still while the learner is behind.
        beside_live: whether they play on while the shown one is live.
        overlaps: whether, where none is shown, the policy decides for one half of the games while
            the other half moves.
        sight: of the shown game, where the policy and the encoder are on one GPU.
    """

    def __init__(
        self,
        lanes: EnvPool,
        actor: Actor,
        streamer: Streamer,
        uplink: LearnerClient | None,
        on_episode: Callable[[Episode], None],
        on_decision: Callable[[DecisionFrame], None],
        *,
        worker_index: int,
        waits: bool,
        beside_live: bool,
        overlaps: bool,
        sight: DeviceObserver | None = None,
    ) -> None:
        self._lanes = lanes
        self._actor = actor
        self._streamer = streamer
        self._uplink = uplink
        self._on_episode = on_episode
        self._on_decision = on_decision
        self._worker_index = worker_index
        self._waits = waits
        self._beside_live = beside_live
        self._overlaps = overlaps
        self._size: tuple[int, int] | None = None
        self._fps: int | None = None
        self._sight = sight
        self._counting = threading.Lock()
        self._loading = threading.Lock()
        self._glanced_at = float("-inf")
        self._rested_s = 0.0
        self._room_beside_live = threading.Event()
        self._decided: tuple[Thought, Observation, Decision] | None = None
        self.steps = Rate()
        """Decisions of all games, in this process."""
        self._episodes = 0
        self._before = CounterOffset()
        self.episode_return: float | None = None
        self.newest_frame: NDArray[np.uint8] | None = None
        """``H×W×3`` uint8 RGB, for the snapshot."""

    def go_on_from(self, counted: CounterOffset) -> None:
        """Counts on from what the processes that were this worker before have counted."""
        self._before = counted

    def counted(self) -> CounterOffset:
        """Decisions and finished episodes of this worker in the run."""
        before = self._before
        return CounterOffset(
            step=before.step + self.steps.total, episode=before.episode + self._episodes
        )

    def begun(self) -> None:
        """An episode of the shown game has begun, at the size that was last asked for."""
        self._streamer.episode_begun(large=self._size is not None)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Plays until ``stopped``: live on the calling thread, standby on one of lower priority.

        So live play takes what it needs, and training takes the rest. There are two threads since
        an unprivileged process may lower a thread's priority and never raise it again.

        Raises:
            GameError: a game broke.
        """
        parts = 2 if self._overlaps else 1
        unseen = DoubleBufferedSampler(self._actor, self._lived, parts=parts, threads=MOST_MOVING)
        beside = DoubleBufferedSampler(
            self._actor, self._lived, parts=2, threads=MOST_MOVING_BESIDE_LIVE
        )
        self._follow_wish()
        self._lanes.first.begin()
        self._lanes.start(lambda: self._beside_live or not (self._fps or self._size))
        with ThreadPoolExecutor(1, "standby-play", initializer=lower_priority) as background:
            try:
                while not stopped():
                    if self._fps is not None:
                        self._play_live(FramePacer(self._fps), beside, background, stopped)
                    else:
                        background.submit(self._play_standby, unseen, stopped).result()
                    self._follow_wish()
            finally:
                unseen.close()
                beside.close()

    def _follow_wish(self) -> None:
        self._fps = self._streamer.fps
        self.steps.restart()
        if self._size != (size := self._streamer.drawn_size):
            self._size = size
            self._lanes.first.game.spectate(size)

    def _as_wished(self, stopped: Callable[[], bool]) -> bool:
        return (
            not stopped()
            and self._fps == self._streamer.fps
            and self._size == self._streamer.drawn_size
        )

    def _play_standby(self, rounds: DoubleBufferedSampler, stopped: Callable[[], bool]) -> None:
        rounds.play(self._lanes.all, lambda: self._may_go_on(lambda: self._as_wished(stopped)))

    def _play_live(
        self,
        pacer: FramePacer,
        rounds: DoubleBufferedSampler,
        background: ThreadPoolExecutor,
        stopped: Callable[[], bool],
    ) -> None:
        if not self._beside_live:
            while self._as_wished(stopped):
                self._decide_live(self._lanes.first, pacer)
            return
        halt = threading.Event()

        def may_go_on() -> bool:
            self._room_beside_live.wait(MAKE_ROOM_S)
            return self._may_go_on(lambda: not halt.is_set())

        def play_others() -> None:
            while not halt.is_set() and not self._lanes.others():
                halt.wait(HOLD_S)
            rounds.play(self._lanes.others, may_go_on)

        others = background.submit(play_others)
        try:
            while self._as_wished(stopped) and not others.done():
                self._decide_live(self._lanes.first, pacer)
        finally:
            halt.set()
            others.result()

    def _may_go_on(self, wished: Callable[[], bool]) -> bool:
        """Whether another round may begin; waits while the learner is behind, if it is set so."""
        self._take_weights()
        while wished():
            if self._uplink is None or not self._waits or self._uplink.wait_for_room(HOLD_S):
                return True
        return False

    def _decide_live(self, lane: EnvRunner, pacer: FramePacer) -> None:
        if self._uplink is not None:
            self._take_weights()
        version = self._actor.version
        seen = lane.seen()
        self._room_beside_live.clear()
        (decision,) = self._actor.act([seen], [lane.number])
        self._room_beside_live.set()
        self._decided = self._told(lane, decision), seen, decision
        self._lived(
            lane, lane.step(decision, version, lambda pixels: self._spectate(pixels, pacer))
        )

    def _spectate(self, pixels: NDArray[np.uint8], pacer: FramePacer) -> None:
        """Shows a frame as soon as it is drawn, and rests until the next one is due."""
        self.newest_frame = pixels
        uploaded = None
        if self._sight is not None and self._streamer.takes_device_frames:
            uploaded = self._sight.upload(pixels)
        if self._decided is None:
            self._streamer.offer(pixels, waited_s=self._rested_s, uploaded=uploaded)
        else:
            (thought, seen, decision), self._decided = self._decided, None
            captured_at = self._streamer.offer(
                pixels, thought, waited_s=self._rested_s, uploaded=uploaded
            )
            self._on_decision(DecisionFrame(captured_at, seen, decision))
        self._rested_s = pacer.wait(time.monotonic())
        if self._rested_s > 0:
            self._room_beside_live.set()
            time.sleep(self._rested_s)
        else:
            self._room_beside_live.clear()

    def _told(self, lane: EnvRunner, decision: Decision) -> Thought:
        chosen = decision.action if isinstance(decision.action, int) else None
        return Thought(
            action=chosen,
            probabilities=[round(float(each), 4) for each in decision.probabilities],
            value=decision.value,
            reward=lane.reward,
            episode_return=lane.total_reward,
            episode=self.counted().episode + 1,
            step=lane.length,
            decided_at=time.time(),
        )

    def _take_weights(self) -> None:
        """Loads newer weights; where the other play thread is at it, that does for both.

        Those that can't be used are passed over: it plays on with what it has.
        """
        if self._uplink is None or not self._loading.acquire(blocking=False):
            return
        try:
            if weights := self._uplink.newer_weights():
                self._actor.load(weights)
        except (WireError, PolicyError) as error:
            log.warning("the learner's weights are passed over: %s", error)
        finally:
            self._loading.release()

    def _lived(self, lane: EnvRunner, lived: StepResult) -> None:
        self.steps.count()
        if lane is self._lanes.first and self._fps is None:
            self._glance(lane)
        if lived.rollout is not None and self._uplink is not None:
            self._uplink.submit(lived.rollout)
        if lived.ended is not None:
            self._finished(lived.ended)

    def _glance(self, lane: EnvRunner) -> None:
        now = time.monotonic()
        if now - self._glanced_at >= GLANCE_S:
            self.newest_frame, self._glanced_at = lane.game.frame(), now

    def _finished(self, ended: EpisodeEnd) -> None:
        with self._counting:
            self._episodes += 1
            self.episode_return = ended.total_reward
            counted = self.counted()
            self._on_episode(
                Episode(
                    worker_index=self._worker_index,
                    episode=counted.episode,
                    total_reward=ended.total_reward,
                    length=ended.length,
                    step=counted.step,
                    policy_version=self._actor.version,
                    ended_at=time.time(),
                )
            )
