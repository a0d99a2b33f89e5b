"""A worker process without a game, a policy or PyTorch.

``python -m tests.support.gameless_worker --settings F --run DIR --parent PID --index I
[--counted STEP,EPISODE]`` takes the arguments of ``metabonk worker``. Its stream, encoder sessions,
viewers, HTTP server and heartbeat are the real ones. The frames are a moving pattern, drawn and
paced as a real worker's: large and at the stream's rate while it is live, small and unpaced in
standby. An episode ends every ``EPISODE_S`` seconds. With ``GAMELESS_ROLLOUTS`` in the environment
it sends rollouts for ``tests.support.rollout_record``.
"""

import argparse
import contextlib
import faulthandler
import itertools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.cli.main import print_error
from metabonk.errors import MetaBonkError
from metabonk.frame import Frame
from metabonk.messages.base import Loop
from metabonk.messages.streams import Thought
from metabonk.messages.workers import Counters, instance_id
from metabonk.runs.starts import count_start
from metabonk.settings import Settings
from metabonk.system.periodic_thread import PeriodicThread
from metabonk.system.process import StopSignal, lower_priority
from metabonk.worker.identity import Identity
from metabonk.worker.progress import LoopTurns, Progress
from metabonk.worker.status import SourceStatus
from metabonk.worker.stream import WorkerStream
from tests.support.rollout_record import GamelessRollout

log = logging.getLogger(__name__)

ACTION_NAMES = ("left", "right")
EPISODE_S = 1.0
SMALL = (256, 144)
OBSERVATION = (128, 72)
TICS = 4
"""Frames per step."""

STEP_S = float(os.environ.get("GAMELESS_STEP_S", "0.002"))
"""Duration of a step in standby: some fifty times as fast as live, unless many share few cores."""

SNAPSHOT_INTERVAL_S = 0.25
NOISE_SHARE, NOISE_STRIPS = 4, 8
FIRST_DESIRED_S = 1.0
ROLLOUTS_VARIABLE = "GAMELESS_ROLLOUTS"
ROLLOUT_S = 0.5


class Pattern:
    """Draws a bar that moves over a brightness that tells the frame's number.

    A strip of noise at the bottom needs about as many bits as a game.
    """

    def __init__(self) -> None:
        self.size = SMALL
        self._number = 0
        self._noise: list[NDArray[np.uint8]] = []

    def draw(self) -> Frame:
        """Return the next frame."""
        width, height = self.size
        pixels = np.full((height, width, 3), 20 + self._number * 7 % 200, np.uint8)
        at = self._number * 8 % width
        pixels[:, at : at + width // 20] = (255, 120, 0)
        pixels[height - height // NOISE_SHARE :] = self._noise_strip(width, height // NOISE_SHARE)
        self._number += 1
        return Frame(pixels, time.monotonic())

    def _noise_strip(self, width: int, height: int) -> NDArray[np.uint8]:
        if not self._noise or self._noise[0].shape[:2] != (height, width):
            chance = np.random.default_rng(0)
            shape = (NOISE_STRIPS, height, width, 3)
            self._noise = list(chance.integers(0, 256, shape, np.uint8))
        return self._noise[self._number % NOISE_STRIPS]


class GamelessWorker:
    """The stream of one worker, with a pattern to show.

    Args:
        settings: of the fleet.
        settings_file: they were read from.
        index: of the worker.
        counters: of its earlier processes.
    """

    def __init__(
        self, settings: Settings, settings_file: Path, index: int, counters: Counters
    ) -> None:
        self.stream = WorkerStream(settings, settings_file, Identity.of_worker(settings, index))
        self.progress = Progress(index, counters)
        self.turns = LoopTurns()
        self._pattern = Pattern()
        self._render_size: tuple[int, int] | None = None
        self._fps: int | None = None
        self._steps = 0
        self._return = 0.0
        self._ends_at = 0.0
        self._snapshot_at = float("-inf")
        self._waited_s = 0.0

    def start(self) -> None:
        """Serve and report the stream."""
        self.stream.start(self.status, ACTION_NAMES)

    def close(self) -> None:
        """Stop serving, and release the encoder session."""
        self.stream.close()

    def status(self) -> SourceStatus:
        """Return what a game and a policy would say."""
        return SourceStatus(
            source_size=self._pattern.size,
            observation_size=OBSERVATION,
            counters=self.progress.counters(),
            steps_per_s=self.progress.steps_per_s(),
            episode_return=self.progress.episode_return,
            policy_version=0,
            turns=self.turns.of_running(),
        )

    def run(self, stopped: Callable[[], bool]) -> None:
        """Draw until ``stopped``: live on the calling thread, standby on one of lower priority."""
        self.stream.wait_for_desired(FIRST_DESIRED_S)
        with ThreadPoolExecutor(1, "standby-play", initializer=lower_priority) as background:
            self._apply_desired()
            self._reset()
            while not stopped():
                if self._fps is None:
                    with self.turns.running(Loop.BACKGROUND):
                        background.submit(self._play, self._step_standby, stopped).result()
                else:
                    with self.turns.running(Loop.LIVE):
                        self._play(self._step_live, stopped)
                self._apply_desired()

    def _apply_desired(self) -> None:
        self._fps, self._render_size = self.stream.fps, self.stream.render_size
        self.progress.restart_rate()

    def _play(self, step: Callable[[], None], stopped: Callable[[], bool]) -> None:
        while (
            not stopped()
            and self._fps == self.stream.fps
            and self._render_size == self.stream.render_size
        ):
            step()
            self.turns.count(Loop.BACKGROUND if self._fps is None else Loop.LIVE)
            self.progress.count_step()
            self._steps += 1
            self._return += 1.0
            if time.monotonic() >= self._ends_at:
                self.stream.add_episode(
                    self.progress.finish_episode(self._return, self._steps, policy_version=0)
                )
                self._reset()

    def _reset(self) -> None:
        self._pattern.size = self._render_size or SMALL
        self._steps, self._return = 0, 0.0
        self._ends_at = time.monotonic() + EPISODE_S
        self.stream.on_episode_start(large=self._render_size is not None)

    def _step_live(self) -> None:
        assert self._fps is not None
        for tic in range(TICS):
            due = time.monotonic() + 1 / self._fps
            frame = self._pattern.draw()
            if tic == 0:
                frame.thoughts = (self._thought(),)
            self.stream.submit_frame(frame, waited_s=self._waited_s)
            self._waited_s = max(0.0, due - time.monotonic())
            time.sleep(self._waited_s)

    def _step_standby(self) -> None:
        time.sleep(STEP_S)
        now = time.monotonic()
        if now - self._snapshot_at >= SNAPSHOT_INTERVAL_S:
            self._snapshot_at = now
            self.stream.set_snapshot(self._pattern.draw())

    def _thought(self) -> Thought:
        return Thought(
            action=self._steps % 2,
            probabilities=[0.25, 0.75],
            value=EPISODE_S,
            reward=1.0,
            episode_return=self._return,
            episode=self.progress.counters().episode + 1,
            step=self._steps,
            decided_at=time.time(),
        )


@contextlib.contextmanager
def rollouts_sent(settings: Settings, run_dir: Path, index: int) -> Iterator[None]:
    """Send a rollout twice a second for the block, if that is asked for."""
    if ROLLOUTS_VARIABLE not in os.environ:
        yield
        return
    start, numbers = count_start(run_dir, index), itertools.count()
    url = f"http://{settings.internal_authority(settings.ports.learner)}/rollouts"

    def send() -> None:
        played = GamelessRollout(
            worker=index, start=start, number=next(numbers), played_at=time.monotonic()
        )
        # A rollout that gets no answer is lost, as a real worker's is when its queue is full.
        with contextlib.suppress(httpx.HTTPError):
            client.post(url, content=played.model_dump_json())

    with httpx.Client(trust_env=False) as client:
        sender = PeriodicThread(send, ROLLOUT_S, name="rollouts")
        sender.start()
        try:
            yield
        finally:
            sender.close()


def run(
    settings: Settings, settings_file: Path, index: int, run_dir: Path, counters: Counters
) -> None:
    """Run a worker until SIGTERM."""
    stop = StopSignal()
    stop.watch_threads()
    with (
        contextlib.closing(GamelessWorker(settings, settings_file, index, counters)) as worker,
        rollouts_sent(settings, run_dir, index),
    ):
        worker.start()
        log.info("plays nothing on port %d", settings.worker_port(index))
        worker.run(stop.is_set)
        stop.raise_failure()
        step, episode = worker.progress.counters()
        log.info("stops after %d steps and %d episodes", step, episode)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one worker; return its exit code."""
    parser = argparse.ArgumentParser()
    add_child_arguments(parser)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--counted", type=Counters.parse, default=Counters())
    parser.add_argument("--inference", type=int, help="ignored: it has no policy")
    parser.add_argument("command", nargs="*", help="ignored: of 'metabonk worker'")
    arguments = parser.parse_args(argv)
    try:
        settings = setup_child(instance_id(arguments.index), arguments)
        run(settings, arguments.settings, arguments.index, arguments.run, arguments.counted)
    except MetaBonkError as error:
        return print_error(str(error), error.exit_code)
    return 0


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
