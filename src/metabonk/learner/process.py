"""The learner process: serves in a thread, learns in the main thread, and ends both."""

import logging
from pathlib import Path
from typing import Protocol

import torch

from metabonk.errors import SettingsError
from metabonk.games import describe_game
from metabonk.http.server import HttpServer
from metabonk.learner.checkpoint import Checkpointer, ReturnTracker, restore_newest
from metabonk.learner.memory import check_memory, memory_free, memory_needed
from metabonk.learner.ppo import Learner, Update
from metabonk.learner.server import RolloutQueue, WeightsStore, make_app
from metabonk.learner.stats import LearnerStats, TensorBoardWriter
from metabonk.messages import LearnerStatus
from metabonk.policy import PolicySpec, encode_weights
from metabonk.policy.rollout import LARGEST_STEPS
from metabonk.settings import Settings
from metabonk.settings.schema import available_cores
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

POLL_S = 0.25
"""How soon a learner without rollouts notices that it should stop."""


class Stop(Protocol):
    """What tells the learner to stop."""

    def is_set(self) -> bool:
        """Whether it should."""


def run(settings: Settings, run_dir: Path) -> None:
    """Learns until SIGTERM.

    Args:
        settings: of the fleet.
        run_dir: folder of the run; checkpoints go there, and the newest is continued.

    Raises:
        MetaBonkError: the game is unknown, the port is taken, the run's checkpoint doesn't fit, or
            a batch doesn't fit into memory.
    """
    stop = StopSignal()
    stop.watch_threads()
    # Half the cores leave room for workers, of one thread each. More threads, which wait for each
    # other, take more than they bring (docs/benchmarks.md, "Throughput against other libraries").
    torch.set_num_threads(max(1, available_cores() // 2))
    learn(settings, run_dir, stop)
    stop.raise_failure()


def learn(settings: Settings, run_dir: Path, stop: Stop) -> None:
    """Serves and learns until ``stop``, then writes a last checkpoint; see ``run``."""
    learning = settings.learning
    description = describe_game(settings.game, learning)
    spec = PolicySpec.of(description, learning)
    learner = Learner(spec, learning, reward_scale=description.reward_scale)
    figures = LearnerStats()
    if restored := restore_newest(learner, run_dir):
        log.info("goes on from %s, version %d", restored, learner.counters.version)
        figures.restored(learner.counters)
    # Two batches hide the time of an update; a batch and one rollout more are what it takes.
    capacity = max(2 * learning.batch_size, learning.batch_size + LARGEST_STEPS)
    check_memory(memory_needed(learner.network, learning, capacity), memory_free(), learning)
    shelf = WeightsStore()
    _publish(learner, shelf)
    queue = RolloutQueue(capacity)
    app = make_app(spec, queue, shelf, figures, rollout_steps=learning.rollout_steps)
    server = HttpServer(app, settings.internal_host, settings.ports.learner)
    server.start()
    log.info("learns %s on port %d", settings.game, settings.ports.learner)
    saves = Checkpointer(learner, run_dir)
    try:
        with TensorBoardWriter(run_dir) as events:
            _learn_from(queue, learner, shelf, figures, saves, events, stop)
    except torch.OutOfMemoryError:
        raise SettingsError(
            f"the GPU has too little memory for learning.batch_size = {learning.batch_size} with "
            f"learning.num_minibatches = {learning.num_minibatches}. Lower batch_size, or raise "
            "num_minibatches; the run goes on with --resume"
        ) from None
    finally:
        server.stop()
        saves.save()


def _learn_from(
    queue: RolloutQueue,
    learner: Learner,
    shelf: WeightsStore,
    figures: LearnerStats,
    saves: Checkpointer,
    events: TensorBoardWriter,
    stop: Stop,
) -> None:
    while not stop.is_set():
        if rollouts := queue.take(learner.settings.batch_size, POLL_S):
            for rollout in rollouts:
                saves.returns.add(rollout.episodes)
            update = learner.update(rollouts)
            if update.steps:
                _publish(learner, shelf)
            figures.updated(update, learner.counters)
            if update.steps:
                curves = scalars(figures.status(), update, saves.returns)
                events.add(curves, learner.counters.steps_trained)
        saves.save_when_due()
        figures.save_error = saves.error


def scalars(
    status: LearnerStatus, update: Update, returns: ReturnTracker
) -> dict[str, float | None]:
    """The curves for TensorBoard, by tag."""
    return {
        "episode/return": returns.mean,
        "episode/length": returns.mean_length,
        "learner/policy_lag": update.lag,
        "learner/steps_dropped": status.steps_dropped,
        "learner/steps_per_s": status.steps_per_s,
        **{f"update/{name}": value for name, value in update.losses.items()},
    }


def _publish(learner: Learner, shelf: WeightsStore) -> None:
    version = learner.counters.version
    shelf.publish(version, encode_weights(learner.network, version))
