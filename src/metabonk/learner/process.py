"""The learner process: serves in a thread and trains in the main thread."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch

from metabonk.errors import SettingsError
from metabonk.games import GameDescription, describe_game
from metabonk.http.server import HttpServer
from metabonk.http.weights import WeightsStore
from metabonk.learner.checkpoint import Checkpointer, ReturnTracker, restore_newest
from metabonk.learner.memory import available_bytes, check_memory, required_bytes
from metabonk.learner.ppo import Learner, Update
from metabonk.learner.rollouts import RolloutQueue, max_rollout_bytes, receive_rollout
from metabonk.learner.server import make_app
from metabonk.learner.stats import LearnerStats, TensorBoardWriter
from metabonk.learner.trackers import open_trackers
from metabonk.messages.learner import LearnerStatus
from metabonk.policy import PolicySpec, encode_weights
from metabonk.policy.defaults import describe_defaults, with_defaults
from metabonk.policy.rollout import MAX_STEPS
from metabonk.policy.rollout_socket import Answer, RolloutListener
from metabonk.policy.serialization import Data
from metabonk.runs.layout import save_settings
from metabonk.settings import Settings
from metabonk.settings.learning import Learning
from metabonk.settings.schema import available_cores
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

POLL_S = 0.25
"""Longest wait for rollouts before the stop signal is checked."""


class Stop(Protocol):
    """Signal that tells the learner to stop."""

    def is_set(self) -> bool:
        """Tell whether to stop."""


class Curves(Protocol):
    """Consumer of a run's learning curves."""

    def add(self, scalars: Mapping[str, float | None], step: int) -> None:
        """Add a point to each curve; ``step`` counts the steps trained."""


def run(settings: Settings, run_dir: Path) -> None:
    """Train until SIGTERM.

    Args:
        settings: of the fleet.
        run_dir: folder of the run; its newest checkpoint is resumed, and new ones go there.

    Raises:
        MetaBonkError: the game is unknown, the port is in use, the run's checkpoint doesn't fit,
            or a batch doesn't fit into memory.
    """
    stop = StopSignal()
    stop.watch_threads()
    # Half the cores leave room for the workers, each with one thread. More threads, which wait for
    # each other, cost more than they gain (docs/benchmarks.md).
    torch.set_num_threads(max(1, available_cores() // 2))
    learn(settings, run_dir, stop)
    stop.raise_failure()


def learn(settings: Settings, run_dir: Path, stop: Stop) -> None:
    """Serve and train until ``stop``, then write a last checkpoint; see ``run``."""
    description = describe_game(settings.game, settings.learning)
    settings = _settle_learning(settings, description, run_dir)
    learning = settings.learning
    spec = PolicySpec.of(description, learning)
    learner = Learner(spec, learning, reward_scale=description.reward_scale)
    stats = LearnerStats()
    if restored := restore_newest(learner, run_dir):
        log.info("resumed from %s (version %d)", restored, learner.counters.version)
        stats.restored(learner.counters)
    # Two batches hide the duration of an update; the minimum is a batch and a rollout.
    capacity = max(2 * learning.batch_size, learning.batch_size + MAX_STEPS)
    check_memory(required_bytes(learner.network, learning, capacity), available_bytes(), learning)
    weights = WeightsStore()
    _publish(learner, weights)
    queue = RolloutQueue(capacity)
    steps, device = learning.rollout_steps, learner.device
    app = make_app(spec, queue, weights, stats, rollout_steps=steps, device=device)
    server = HttpServer(app, settings.internal_host, settings.ports.learner)
    server.start()
    log.info("learning %s on port %d", settings.game, settings.ports.learner)
    checkpointer = Checkpointer(learner, run_dir)
    trackers = [*open_trackers(settings, run_dir)]
    try:
        with (
            _listening(settings.ports.learner, learning, spec, queue, device),
            contextlib.closing(TensorBoardWriter(run_dir)) as curves,
        ):
            _train(queue, learner, weights, stats, checkpointer, [curves, *trackers], stop)
    except torch.OutOfMemoryError:
        raise SettingsError(
            f"the GPU has too little memory for learning.batch_size = {learning.batch_size} with "
            f"learning.num_minibatches = {learning.num_minibatches}. Lower batch_size or raise "
            "num_minibatches, and resume the run with --resume"
        ) from None
    finally:
        for tracker in trackers:
            tracker.request_close()
        weights.close()
        server.stop()
        checkpointer.save()
        for tracker in trackers:
            tracker.close()


@contextlib.contextmanager
def _listening(
    port: int, learning: Learning, spec: PolicySpec, queue: RolloutQueue, device: torch.device
) -> Iterator[None]:
    """Take rollouts through shared memory too; where that is impossible, they come by HTTP."""

    def receive(rollout: Data, deadline: float) -> Answer:
        timeout = max(0.0, deadline - time.monotonic())
        refusal = receive_rollout(rollout, spec, queue, device, timeout)
        return Answer(202) if refusal is None else Answer(refusal.status, refusal.message)

    try:
        listener = RolloutListener(port, max_rollout_bytes(spec, learning.rollout_steps), receive)
    except OSError as error:
        log.warning("takes no rollouts through shared memory: %s", error.strerror)
        yield
        return
    listener.start()
    try:
        yield
    finally:
        listener.close()


def _settle_learning(settings: Settings, game: GameDescription, run_dir: Path) -> Settings:
    """Return settings with the defaults of the game's kind, and record them with the run."""
    given, learning = settings.learning, with_defaults(settings.learning, game)
    log.info("%s", describe_defaults(given, game))
    settled = settings.model_copy(update={"learning": learning})
    if given.model_fields_set != learning.model_fields_set:
        save_settings(settled, run_dir)
    return settled


def _train(
    queue: RolloutQueue,
    learner: Learner,
    weights: WeightsStore,
    stats: LearnerStats,
    checkpointer: Checkpointer,
    curves: Sequence[Curves],
    stop: Stop,
) -> None:
    while not stop.is_set():
        stats.turns += 1
        if rollouts := queue.take(learner.settings.batch_size, POLL_S):
            began = time.monotonic()
            for rollout in rollouts:
                checkpointer.returns.add(rollout.episodes)
            update = learner.update(rollouts)
            if update.steps:
                _publish(learner, weights)
            stats.updated(update, learner.counters, time.monotonic() - began)
            if update.steps:
                values = scalars(stats.status(), update, checkpointer.returns)
                for each in curves:
                    each.add(values, learner.counters.steps_trained)
        checkpointer.save_when_due()
        stats.save_error = checkpointer.error


def scalars(
    status: LearnerStatus, update: Update, returns: ReturnTracker
) -> dict[str, float | None]:
    """Return the values of the curves by name."""
    return {
        "episode/return": returns.mean,
        "episode/length": returns.mean_length,
        "learner/policy_lag": update.lag,
        "learner/steps_dropped": status.steps_dropped,
        "learner/steps_per_s": status.steps_per_s,
        **{f"update/{name}": value for name, value in update.losses.items()},
    }


def _publish(learner: Learner, weights: WeightsStore) -> None:
    version = learner.counters.version
    weights.publish(version, encode_weights(learner.network, version))
