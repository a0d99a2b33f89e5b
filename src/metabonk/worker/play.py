"""The play threads: the policy decides, the games move, the rollouts grow.

Game 0 is the shown one. While the worker is live, it plays on a thread of its own, at its own pace;
the tics that the stream shows are drawn at the viewers' size and submitted to it. The other games
run beside it at a lower priority, and yield while it decides and while it is late, since all share
the interpreter lock. In standby all games run together; nothing is paced, and nothing is drawn that
the policy doesn't see. Changing between the two never ends an episode.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from metabonk.frame import Frame
from metabonk.games import Observation
from metabonk.messages.base import Loop
from metabonk.messages.streams import Thought
from metabonk.policy import Actor, Decision
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.system import shared_core
from metabonk.system.process import lower_priority
from metabonk.system.tic_clock import TicClock
from metabonk.worker.env_pool import EnvPool, call_on
from metabonk.worker.highlights import Highlights
from metabonk.worker.learner_client import LearnerClient
from metabonk.worker.pipelined_sampler import Decisions, PipelinedSampler
from metabonk.worker.progress import LoopTurns, Progress
from metabonk.worker.saliency import DecisionFrame, SaliencyThread
from metabonk.worker.sampler import DoubleBufferedSampler
from metabonk.worker.scheduling import Schedule
from metabonk.worker.shared_inference import SharedInference
from metabonk.worker.stream import WorkerStream

SNAPSHOT_INTERVAL_S = 0.25
"""Greatest age of a standby game's snapshot: a Gymnasium frame rendered for it costs more than the
step it shows."""

POLL_S = 0.1
"""Interval at which a worker ahead of the learner checks whether it should change over."""

YIELD_S = 0.1
"""Longest pause of the other games before a turn: beside a live game that is always late, they
still learn."""

MAX_CONCURRENT_STEPS_LIVE = 2
"""Games that move at once beside a live game, which would wait for the interpreter lock
(docs/benchmarks.md, "Live at 60 frames a second")."""


def _start_background() -> None:
    lower_priority()
    shared_core.stay()


class PlayLoop:
    """Plays the games of a worker with the newest policy.

    Args:
        pool: the games; the shown one has not been reset.
        actor: decides for them.
        stream: shows game 0 and says how to draw it.
        progress: counts steps and episodes.
        schedule: how the games share the cores.
        learner: takes rollouts; None in play mode, where nothing learns.
        inference: decides in games that nobody watches; None: the actor does.
        saliency: takes the decisions that are shown; None: nobody does.
        highlights: takes the episodes that ended live; None: nobody does.

    Attributes:
        turns: of the loops that play.
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
        inference: SharedInference | None = None,
        saliency: SaliencyThread | None = None,
        highlights: Highlights | None = None,
    ) -> None:
        self._pool = pool
        self._actor = actor
        self._stream = stream
        self._progress = progress
        self._schedule = schedule
        self._learner = learner
        self._inference = inference
        self._saliency = saliency
        self._highlights = highlights
        self.turns = LoopTurns()
        self._render_size: tuple[int, int] | None = None
        self._fps: int | None = None
        self._finishing = threading.Lock()
        self._snapshot_at = float("-inf")
        self._last_began_at = self._began_at = self._shown_at = float("-inf")
        self._waited_s = self._deciding_s = 0.0
        self._others_may_run = threading.Event()
        self._thoughts: list[Thought] = []
        self._decided: tuple[Observation, Decision] | None = None

    @property
    def policy_version(self) -> int:
        """Version of the weights that most games are played with now."""
        elsewhere = None if self._inference is None else self._inference.version
        return self._actor.version if elsewhere is None else elsewhere

    def on_episode_start(self) -> None:
        """Note that the shown game was reset, at the size last asked for."""
        self._last_began_at, self._began_at = self._began_at, time.monotonic()
        self._stream.on_episode_start(large=self._render_size is not None)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Play until ``stopped``: live on the shown game's thread, standby at a lower priority.

        So live play takes what it needs and training the rest. It takes two threads, since an
        unprivileged process may lower a thread's priority and never raise it again.

        Raises:
            GameError: a game broke.
        """
        parts = 2 if self._schedule.double_buffer and not self._pool.shares_lock else 1
        with (
            closing(self._sampler(parts, self._schedule.concurrent_steps)) as standby,
            closing(self._sampler(2, MAX_CONCURRENT_STEPS_LIVE)) as beside_live,
            ThreadPoolExecutor(1, "standby-play", initializer=_start_background) as background,
        ):
            first_thread = self._pool.first_thread
            self._apply_desired()
            call_on(first_thread, self._pool.first.reset)
            self._pool.start(self._may_open_games)
            while not stopped():
                if self._fps is None:
                    with self.turns.running(Loop.BACKGROUND):
                        background.submit(self._play_standby, standby, stopped).result()
                elif self._schedule.run_others_while_live:
                    self._play_live_beside(self._fps, beside_live, background, stopped)
                else:
                    call_on(
                        first_thread,
                        self._play_live,
                        self._fps,
                        lambda: self._matches_desired(stopped),
                    )
                self._apply_desired()

    def _sampler(self, parts: int, threads: int) -> DoubleBufferedSampler | PipelinedSampler:
        if self._inference is not None and not self._pool.shares_lock:
            return PipelinedSampler(self._ask, self._step_bound, self._on_step, threads=threads)
        return DoubleBufferedSampler(
            self._decide_unseen,
            self._step_unseen,
            self._on_step,
            self._pool.thread_of,
            parts=parts,
            threads=threads,
        )

    def _may_open_games(self) -> bool:
        return self._schedule.run_others_while_live or not (self._fps or self._render_size)

    def _apply_desired(self) -> None:
        self._fps = self._stream.fps
        self._progress.restart_rate()
        if self._render_size != (size := self._stream.render_size):
            self._render_size = size
            call_on(self._pool.first_thread, self._pool.first.game.set_render_size, size)

    def _matches_desired(self, stopped: Callable[[], bool]) -> bool:
        return (
            not stopped()
            and self._fps == self._stream.fps
            and self._render_size == self._stream.render_size
        )

    def _play_standby(
        self, sampler: DoubleBufferedSampler | PipelinedSampler, stopped: Callable[[], bool]
    ) -> None:
        sampler.run(
            self._pool.all, lambda: self._learner_keeps_up(lambda: self._matches_desired(stopped))
        )

    def _play_live(self, fps: int, keep_running: Callable[[], bool]) -> None:
        clock = TicClock(self._pool.first.game.description.tics_per_s, fps)
        self._thoughts, self._decided = [], None
        with self.turns.running(Loop.LIVE):
            while keep_running():
                self.turns.count(Loop.LIVE)
                self._step_live(self._pool.first, clock, keep_running)

    def _play_live_beside(
        self,
        fps: int,
        sampler: DoubleBufferedSampler | PipelinedSampler,
        background: ThreadPoolExecutor,
        stopped: Callable[[], bool],
    ) -> None:
        halt = threading.Event()

        def keep_running() -> bool:
            self._others_may_run.wait(YIELD_S)
            return self._learner_keeps_up(lambda: not halt.is_set())

        def play_others() -> None:
            with self.turns.running(Loop.BACKGROUND):
                while not halt.is_set() and not self._pool.others():
                    self.turns.count(Loop.BACKGROUND)
                    halt.wait(POLL_S)
                sampler.run(self._pool.others, keep_running)

        others = background.submit(play_others)
        try:
            call_on(
                self._pool.first_thread,
                self._play_live,
                fps,
                lambda: self._matches_desired(stopped) and not others.done(),
            )
        finally:
            halt.set()
            others.result()

    def _learner_keeps_up(self, keep_waiting: Callable[[], bool]) -> bool:
        """Wait for a learner that is behind, where that is set; false once told to stop waiting."""
        while keep_waiting():
            self.turns.count(Loop.BACKGROUND)
            if self._learner is None or not self._schedule.pause_when_behind:
                return True
            if self._learner.wait_until_not_full(POLL_S):
                return True
        return False

    def _step_live(
        self, runner: EnvRunner, clock: TicClock, keep_running: Callable[[], bool]
    ) -> None:
        observation = runner.observation
        self._others_may_run.clear()
        began = time.monotonic()
        (decision,) = self._actor.act([observation], [runner.number])
        self._deciding_s += time.monotonic() - began
        self._others_may_run.set()
        self._thoughts.append(self._make_thought(runner, decision))
        self._decided = observation, decision

        def emit(draw: Callable[[], Frame]) -> None:
            frame = draw() if (count := clock.count_frames()) else None
            now = time.monotonic()
            if frame is not None:
                self._emit_frame(frame, clock.repeat_at(now, count))
            self._rest(clock.wait_s(now), keep_running)

        self._on_step(runner, runner.step(decision, emit))

    def _emit_frame(self, frame: Frame, repeat_at: Sequence[float]) -> None:
        """Show a frame, with the thoughts that led to it and to those left out before."""
        frame.thoughts, self._thoughts = tuple(self._thoughts), []
        self._shown_at = frame.captured_at
        decided, self._decided = self._decided, None
        if decided is not None and self._saliency is not None:
            self._saliency.submit(DecisionFrame(frame.captured_at, *decided))
        self._stream.submit_frame(
            frame, waited_s=self._waited_s, deciding_s=self._deciding_s, repeat_at=repeat_at
        )
        self._waited_s = self._deciding_s = 0.0

    def _rest(self, seconds: float, keep_running: Callable[[], bool]) -> None:
        """Wait for the next tic; a long wait ends when live play does."""
        if seconds == 0:
            self._others_may_run.clear()
            return
        self._others_may_run.set()
        left = seconds
        until = time.monotonic() + seconds
        while left > 0 and keep_running():
            time.sleep(min(left, POLL_S))
            self.turns.count(Loop.LIVE)
            left = max(0.0, until - time.monotonic())
        self._waited_s += seconds - left

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

    def _decide_unseen(
        self, observations: Sequence[Observation], games: Sequence[int]
    ) -> list[Decision]:
        return self._ask(0, observations, games)()

    def _ask(
        self, lane: int, observations: Sequence[Observation], games: Sequence[int]
    ) -> Decisions:
        """Ask for decisions, and return the call that waits for them."""
        if self._inference is None:
            return lambda: self._actor.act(observations, games)
        asked = self._inference.lanes[lane]
        asked.request(observations, self._actor.memory(games))
        return lambda: self._actor.act(observations, games, asked.answer())

    def _step_unseen(self, runner: EnvRunner, decision: Decision) -> StepResult:
        result = runner.step(decision)
        if runner is self._pool.first:
            self._refresh_snapshot(runner)
        return result

    def _step_bound(self, runner: EnvRunner, decision: Decision) -> StepResult:
        """Make a step of a game, on the only thread that may call it."""
        if (thread := self._pool.thread_of(runner)) is None:
            return self._step_unseen(runner, decision)
        return call_on(thread, self._step_unseen, runner, decision)

    def _on_step(self, runner: EnvRunner, result: StepResult) -> None:
        self._progress.count_step()
        if result.rollout is not None and self._learner is not None:
            self._learner.submit(result.rollout)
        if (end := result.episode_end) is not None:
            # Episodes are reported in the order of their numbers.
            with self._finishing:
                report = self._progress.finish_episode(
                    end.total_reward, end.length, self.policy_version
                )
                self._stream.add_episode(report, result.recording)
            if self._highlights is not None and runner is self._pool.first and self._fps:
                self._highlights.offer(report, self._last_began_at, self._shown_at)

    def _refresh_snapshot(self, runner: EnvRunner) -> None:
        now = time.monotonic()
        if now - self._snapshot_at >= SNAPSHOT_INTERVAL_S:
            self._snapshot_at = now
            self._stream.set_snapshot(runner.game.frame())
