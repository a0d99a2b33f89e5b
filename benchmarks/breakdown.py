"""CPU time of a step by part: game, acting, serialization, learning and waiting.

``python -m benchmarks.breakdown [--game doom:basic] [--games 8] [--seconds 30] [--set NAME=VALUE]``
runs a real learner process and, in this process, a standby worker's environment runners, sampler
and learner client. It prints milliseconds of CPU per step for each part, as the kernel counts them
by process and thread, and the share of time that the worker waits for the learner.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
from rich.console import Console
from rich.table import Table
from tests.support.serving import free_port

from metabonk.games import Purpose, episode_seeds, make_game
from metabonk.policy import Actor, PolicySpec, Rollout, RolloutBuilder
from metabonk.policy.env_runner import EnvRunner, StepResult
from metabonk.settings import Settings
from metabonk.settings.load import write_settings
from metabonk.settings.schema import available_cores
from metabonk.worker.learner_client import LearnerClient
from metabonk.worker.sampler import DoubleBufferedSampler
from metabonk.worker.scheduling import make_schedule

PARTS = ("game", "acting", "serialization", "learning", "other")
POLL_S = 0.1
WARM_UP_S = 8.0
LEARNER_TIMEOUT_S = 60.0


class Worker:
    """All games of one standby worker, with the CPU time of each part."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.waited = 0.0
        self.steps = 0
        self._lock = threading.Lock()
        learning = settings.learning
        games = [
            make_game(settings.game, learning) for _ in range(settings.worker.games_per_worker)
        ]
        for game in games:
            stack.callback(game.close)
            game.step = self._timed("game", game.step)  # type: ignore[method-assign]
            game.reset = self._timed("game", game.reset)  # type: ignore[method-assign]
        self._actor = Actor(PolicySpec.of(games[0], learning))
        self._actor.act = self._timed("acting", self._actor.act)  # type: ignore[method-assign]
        sent = self._timed("serialization", Rollout.to_bytes)
        stack.enter_context(patch.object(Rollout, "to_bytes", lambda rollout: sent(rollout)))
        self._runners = [
            EnvRunner(
                game,
                number,
                RolloutBuilder(self._actor.spec, learning.rollout_steps),
                seeds=episode_seeds(learning.seed, Purpose.TRAINING, game=number),
            )
            for number, game in enumerate(games)
        ]
        for runner in self._runners:
            runner.reset()
        schedule = make_schedule(settings, available_cores())
        self._sampler = DoubleBufferedSampler(
            self._actor.act,
            EnvRunner.step,
            self._on_step,
            lambda runner: None,
            parts=2 if schedule.double_buffer else 1,
            threads=schedule.concurrent_steps,
        )
        stack.callback(self._sampler.close)
        loaded = threading.Event()
        load = self._timed("loading", self._actor.load)

        def on_weights(weights: bytes) -> None:
            load(weights)
            loaded.set()

        self._learner = LearnerClient(
            f"http://127.0.0.1:{settings.ports.learner}",
            on_weights,
            games=settings.worker.games_per_worker,
        )
        self._learner.start()
        stack.callback(self._learner.close)
        if not loaded.wait(LEARNER_TIMEOUT_S):
            raise SystemExit("the learner does not respond")

    def play(self, seconds: float) -> None:
        """Play as a standby worker does."""
        end = time.monotonic() + seconds

        def keep_running() -> bool:
            began = time.monotonic()
            while not self._learner.wait_until_not_full(POLL_S) and time.monotonic() < end:
                pass
            self.waited += time.monotonic() - began
            return time.monotonic() < end

        self._sampler.run(lambda: self._runners, keep_running)

    def _on_step(self, runner: EnvRunner, result: StepResult) -> None:
        self.steps += 1
        if result.rollout is not None:
            self._learner.submit(result.rollout)

    def _timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*args, **named)
            finally:
                with self._lock:
                    self.seconds[part] += time.thread_time() - began

        return timed


def measure(settings: Settings, seconds: float) -> dict[str, float]:
    """Play and learn.

    Returns:
        Steps per second, the share of time that the worker waited for the learner, and milliseconds
        of CPU per step for each part.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        learner = stack.enter_context(_learner(settings, folder))
        worker = Worker(settings, stack)
        worker.play(WARM_UP_S)
        before, began = _cpu_by_part(worker, learner), time.monotonic()
        steps, waited = worker.steps, worker.waited
        worker.play(seconds)
        elapsed = time.monotonic() - began
        after = _cpu_by_part(worker, learner)
        steps, waited = worker.steps - steps, worker.waited - waited
    result = {part: 1e3 * (after[part] - before[part]) / steps for part in PARTS}
    return {"steps_per_s": steps / elapsed, "waiting_share": waited / elapsed, **result}


def _cpu_by_part(worker: Worker, learner: psutil.Process) -> dict[str, float]:
    """Return the CPU seconds so far for each part."""
    own = psutil.Process()
    engines = [child for child in own.children(recursive=True) if child.name() == "vizdoom"]
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    threads = {names.get(t.id, ""): t.user_time + t.system_time for t in own.threads()}
    # Weights are loaded on the thread that fetches them.
    loading = worker.seconds["loading"]
    senders = threads.get("rollouts", 0.0) + threads.get("weights", 0.0) - loading
    learning = {t.id: t.user_time + t.system_time for t in learner.threads()}
    spent = {
        "game": worker.seconds["game"] + sum(map(_cpu, engines)),
        "acting": worker.seconds["acting"] + loading,
        # The learner learns on its main thread and serves on others.
        "serialization": worker.seconds["serialization"]
        + senders
        + sum(learning.values())
        - learning[learner.pid],
        "learning": learning[learner.pid],
    }
    known = sum(worker.seconds.values()) + senders
    spent["other"] = _cpu(own) - known
    return spent


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _learner(settings: Settings, folder: Path) -> Iterator[psutil.Process]:
    write_settings(settings, folder / "settings.json")
    command = (sys.executable, "-m", "metabonk.cli.main", "learner")
    process = subprocess.Popen(
        [*command, "--settings", str(folder / "settings.json"), "--run", str(folder)],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(LEARNER_TIMEOUT_S)


def settings_of(game: str, games: int, learning: dict[str, str]) -> Settings:
    """Return settings of a worker with this many games and a learner on a free port."""
    return Settings.model_validate(
        {
            "game": game,
            "worker": {"games_per_worker": games},
            "ports": {"learner": free_port()},
            "learning": learning,
        }
    )


def table_of(result: dict[str, float]) -> Table:
    """Return the result as a table."""
    total = sum(result[part] for part in PARTS)
    table = Table("part", "CPU ms per step", "share")
    for part in PARTS:
        table.add_row(part, f"{result[part]:.2f}", f"{result[part] / total:.0%}")
    table.add_row("all", f"{total:.2f}", f"{result['steps_per_s']:.0f} steps/s")
    table.add_row("waiting for the learner", "", f"{result['waiting_share']:.0%} of the time")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="doom:basic")
    parser.add_argument("--games", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    learning = dict(pair.split("=", 1) for pair in arguments.set)
    settings = settings_of(arguments.game, arguments.games, learning)
    Console().print(table_of(measure(settings, arguments.seconds)))


if __name__ == "__main__":
    main()
