"""The learner process: serves in a thread, learns in the main thread, and ends both."""

import logging
import time
from pathlib import Path
from typing import Protocol

import torch

from metabonk.errors import CheckpointError
from metabonk.games import describe_game
from metabonk.http_server import HttpServer
from metabonk.learner.appo import Learner
from metabonk.learner.checkpoint import restore_newest, save_checkpoint
from metabonk.learner.figures import Figures
from metabonk.learner.http import Shelf, make_app
from metabonk.learner.queue import RolloutQueue
from metabonk.policy import PolicySpec, encode_weights
from metabonk.policy.rollout import LARGEST_STEPS
from metabonk.process import StopSignal, lower_priority
from metabonk.settings import Settings
from metabonk.settings.schema import available_cores

log = logging.getLogger(__name__)

POLL_S = 0.25
"""How soon a learner without rollouts notices that it should stop."""


class Stop(Protocol):
    """What tells the learner to stop."""

    def is_set(self) -> bool:
        """Whether it should."""


def run(settings: Settings, run_dir: Path) -> None:
    """Learns until SIGTERM, at a lower priority than play.

    Args:
        settings: of the fleet.
        run_dir: folder of the run; checkpoints go there, and the newest is continued.

    Raises:
        MetaBonkError: the game is unknown, the port is taken, or the run's checkpoint doesn't fit.
    """
    stop = StopSignal()
    stop.watch_threads()
    lower_priority()
    # Workers use one thread each; half the cores leave room for them.
    torch.set_num_threads(max(1, available_cores() // 2))
    learn(settings, run_dir, stop)
    stop.raise_failure()


def learn(settings: Settings, run_dir: Path, stop: Stop) -> None:
    """Serves and learns until ``stop``, then writes a last checkpoint; see ``run``."""
    learning = settings.learning
    description = describe_game(settings.game, observation=learning.observation)
    spec = PolicySpec.of(description, learning)
    learner = Learner(spec, learning, reward_scale=description.reward_scale)
    figures = Figures()
    if restored := restore_newest(learner, run_dir):
        log.info("goes on from %s, version %d", restored, learner.counters.version)
        figures.restored(learner.counters)
    shelf = Shelf()
    _publish(learner, shelf)
    # Two batches hide the time of an update; a batch and one rollout more are what it takes.
    capacity = max(2 * learning.batch_steps, learning.batch_steps + LARGEST_STEPS)
    queue = RolloutQueue(capacity)
    app = make_app(spec, queue, shelf, figures, rollout_steps=learning.rollout_steps)
    server = HttpServer(app, settings.host, settings.ports.learner)
    server.start()
    log.info("learns %s on port %d", settings.game, settings.ports.learner)
    try:
        _learn_from(queue, learner, shelf, figures, run_dir, stop)
    finally:
        server.stop()
        _save(learner, run_dir)


def _learn_from(
    queue: RolloutQueue,
    learner: Learner,
    shelf: Shelf,
    figures: Figures,
    run_dir: Path,
    stop: Stop,
) -> None:
    settings = learner.settings
    saved_at = time.monotonic()
    while not stop.is_set():
        if rollouts := queue.take(settings.batch_steps, POLL_S):
            update = learner.update(rollouts)
            if update.steps:
                _publish(learner, shelf)
            figures.updated(update, learner.counters)
        if time.monotonic() - saved_at >= settings.checkpoint_s:
            _save(learner, run_dir)
            saved_at = time.monotonic()


def _publish(learner: Learner, shelf: Shelf) -> None:
    version = learner.counters.version
    shelf.publish(version, encode_weights(learner.network, version))


def _save(learner: Learner, run_dir: Path) -> None:
    """Writes a checkpoint; a disk that is full must not end a run that goes on in memory."""
    if learner.counters.updates == 0:
        return
    try:
        file = save_checkpoint(learner, run_dir)
    except CheckpointError as error:
        log.error("%s. Training goes on; the next attempt is the next checkpoint", error)
    else:
        log.info("wrote %s", file)
