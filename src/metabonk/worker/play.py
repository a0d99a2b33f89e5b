"""The play threads: the policy decides, the games move, the rollouts grow.

Game 0 is the shown one. While the worker is live, it runs on the main thread: every tic is drawn at
the viewers' size, paced and submitted to the stream. The other games run beside it at a lower
priority, and yield while it decides and while it is late, since all share the interpreter lock. In
standby all games run together; nothing is paced, and nothing is drawn that the policy doesn't see.
Changing between the two never ends an episode.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from metabonk.frame import Frame
from metabonk.games import Observation
from metabonk.messages import Thought
from metabonk.policy import Actor, Decision
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.system.process import lower_priority
from metabonk.worker.learner_client import LearnerClient
from metabonk.worker.progress import Progress
from metabonk.worker.saliency import DecisionFrame, SaliencyThread
from metabonk.worker.sampler import DoubleBufferedSampler, EnvPool
from metabonk.worker.scheduling import Schedule
from metabonk.worker.stream import WorkerStream

SNAPSHOT_INTERVAL_S = 0.25
"""Greatest age of a standby game's snapshot: a Gymnasium frame rendered for it costs more than the
step it shows."""

POLL_S = 0.1
"""How often a worker ahead of the learner checks whether it should change over."""

YIELD_S = 0.1
"""Longest pause of the other games before a turn: beside a live game that is always late, they
still learn."""

MAX_CONCURRENT_STEPS = 8
"""Games that move at once in standby: each mostly waits for its engine
(docs/benchmarks.md, "Scheduling of games on few cores")."""

MAX_CONCURRENT_STEPS_LIVE = 2
"""The same beside a live game, which would wait for the interpreter lock
(docs/benchmarks.md, "Live at 60 frames a second")."""


class FramePacer:
    """Spaces frames evenly, by resting after each.

    A frame is submitted as soon as it is drawn, and rested after: viewers get it as much earlier
    as the game is faster than the stream. Late frames are not made up for: the following ones keep
    their distance, since a burst of frames would look worse than a short pause.

    Args:
        fps: frames per second.
    """

    def __init__(self, fps: float) -> None:
        self._interval = 1.0 / fps
        self._due: float | None = None

    def wait_s(self, now: float) -> float:
        """Return the seconds to rest after the frame that was submitted ``now`` (monotonic)."""
        if self._due is None or now - self._due > self._interval:
            self._due = now
        self._due += self._interval
        return max(0.0, self._due - now)


class PlayLoop:
    """Plays the games of a worker with the newest policy.

    Args:
        pool: the games; the shown one has not been reset.
        actor: decides for them.
        stream: shows game 0 and says how to draw it.
        progress: counts steps and episodes.
        schedule: how the games share the cores.
        learner: takes rollouts; None in play mode, where nothing learns.
        saliency: takes the decisions that are shown; None: nobody does.
    """

    def __init__(
        self,
        pool: EnvPool,
        actor: Actor,
        stream: WorkerStream,
        progress: Progress,
        schedule: Schedule,
        *,
        learner: LearnerClient | None = None,
        saliency: SaliencyThread | None = None,
    ) -> None:
        self._pool = pool
        self._actor = actor
        self._stream = stream
        self._progress = progress
        self._schedule = schedule
        self._learner = learner
        self._saliency = saliency
        self._render_size: tuple[int, int] | None = None
        self._fps: int | None = None
        self._finishing = threading.Lock()
        self._snapshot_at = float("-inf")
        self._waited_s = 0.0
        self._others_may_run = threading.Event()
        self._decided: tuple[Thought, Observation, Decision] | None = None

    def on_episode_start(self) -> None:
        """Note that the shown game was reset, at the size last asked for."""
        self._stream.on_episode_start(large=self._render_size is not None)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Play until ``stopped``: live on the calling thread, standby on one of lower priority.

        So live play takes what it needs and training the rest. It takes two threads, since an
        unprivileged process may lower a thread's priority and never raise it again.

        Raises:
            GameError: a game broke.
        """
        parts = 2 if self._schedule.double_buffer else 1
        with (
            closing(self._sampler(parts, MAX_CONCURRENT_STEPS)) as standby,
            closing(self._sampler(2, MAX_CONCURRENT_STEPS_LIVE)) as beside_live,
            ThreadPoolExecutor(1, "standby-play", initializer=lower_priority) as background,
        ):
            self._apply_desired()
            self._pool.first.reset()
            self._pool.start(self._may_open_games)
            while not stopped():
                if self._fps is None:
                    background.submit(self._play_standby, standby, stopped).result()
                elif self._schedule.run_others_while_live:
                    self._play_live_beside(self._fps, beside_live, background, stopped)
                else:
                    self._play_live(self._fps, lambda: self._matches_desired(stopped))
                self._apply_desired()

    def _sampler(self, parts: int, threads: int) -> DoubleBufferedSampler:
        return DoubleBufferedSampler(self._actor, self._on_step, parts=parts, threads=threads)

    def _may_open_games(self) -> bool:
        return self._schedule.run_others_while_live or not (self._fps or self._render_size)

    def _apply_desired(self) -> None:
        self._fps = self._stream.fps
        self._progress.restart_rate()
        if self._render_size != (size := self._stream.render_size):
            self._render_size = size
            self._pool.first.game.set_render_size(size)

    def _matches_desired(self, stopped: Callable[[], bool]) -> bool:
        return (
            not stopped()
            and self._fps == self._stream.fps
            and self._render_size == self._stream.render_size
        )

    def _play_standby(self, sampler: DoubleBufferedSampler, stopped: Callable[[], bool]) -> None:
        sampler.run(
            self._pool.all, lambda: self._learner_keeps_up(lambda: self._matches_desired(stopped))
        )

    def _play_live(self, fps: int, keep_running: Callable[[], bool]) -> None:
        pacer = FramePacer(fps)
        while keep_running():
            self._step_live(self._pool.first, pacer)

    def _play_live_beside(
        self,
        fps: int,
        sampler: DoubleBufferedSampler,
        background: ThreadPoolExecutor,
        stopped: Callable[[], bool],
    ) -> None:
        halt = threading.Event()

        def keep_running() -> bool:
            self._others_may_run.wait(YIELD_S)
            return self._learner_keeps_up(lambda: not halt.is_set())

        def play_others() -> None:
            while not halt.is_set() and not self._pool.others():
                halt.wait(POLL_S)
            sampler.run(self._pool.others, keep_running)

        others = background.submit(play_others)
        try:
            self._play_live(fps, lambda: self._matches_desired(stopped) and not others.done())
        finally:
            halt.set()
            others.result()

    def _learner_keeps_up(self, keep_waiting: Callable[[], bool]) -> bool:
        """Wait for a learner that is behind, where that is set; false once told to stop waiting."""
        while keep_waiting():
            if self._learner is None or not self._schedule.pause_when_behind:
                return True
            if self._learner.wait_until_not_full(POLL_S):
                return True
        return False

    def _step_live(self, runner: EnvRunner, pacer: FramePacer) -> None:
        observation = runner.observation
        self._others_may_run.clear()
        (decision,) = self._actor.act([observation], [runner.number])
        self._others_may_run.set()
        self._decided = self._make_thought(runner, decision), observation, decision
        self._on_step(runner, runner.step(decision, lambda frame: self._emit_frame(frame, pacer)))

    def _emit_frame(self, frame: Frame, pacer: FramePacer) -> None:
        """Show a frame as soon as it is drawn, and rest until the next one is due."""
        decided, self._decided = self._decided, None
        if decided is not None:
            thought, observation, decision = decided
            frame.thoughts = (thought,)
            if self._saliency is not None:
                self._saliency.submit(DecisionFrame(frame.captured_at, observation, decision))
        self._stream.submit_frame(frame, waited_s=self._waited_s)
        self._waited_s = pacer.wait_s(time.monotonic())
        if self._waited_s > 0:
            self._others_may_run.set()
            time.sleep(self._waited_s)
        else:
            self._others_may_run.clear()

    def _make_thought(self, runner: EnvRunner, decision: Decision) -> Thought:
        action = decision.action if isinstance(decision.action, int) else None
        return Thought(
            action=action,
            probabilities=[round(float(each), 4) for each in decision.probabilities],
            value=decision.value,
            reward=runner.reward,
            episode_return=runner.total_reward,
            episode=self._progress.counters().episode + 1,
            step=runner.length,
            decided_at=time.time(),
        )

    def _on_step(self, runner: EnvRunner, result: StepResult) -> None:
        self._progress.count_step()
        if runner is self._pool.first and self._fps is None:
            self._refresh_snapshot(runner)
        if result.rollout is not None and self._learner is not None:
            self._learner.submit(result.rollout)
        if (end := result.episode_end) is not None:
            # Episodes are reported in the order of their numbers.
            with self._finishing:
                self._stream.add_episode(
                    self._progress.finish_episode(end.total_reward, end.length, self._actor.version)
                )

    def _refresh_snapshot(self, runner: EnvRunner) -> None:
        now = time.monotonic()
        if now - self._snapshot_at >= SNAPSHOT_INTERVAL_S:
            self._snapshot_at = now
            self._stream.set_snapshot(runner.game.frame())
