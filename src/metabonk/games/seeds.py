"""Seeds of episodes and of the policy's choices. Pure."""

import itertools
from collections.abc import Iterator
from enum import IntEnum

import numpy as np

HASH_BITS = 30
"""With the purpose's bit, seeds stay below 2³¹: some games keep them as signed 32-bit integers."""


class Purpose(IntEnum):
    """Purposes of playing; no episode of one has a seed of another."""

    TRAINING = 0
    """Whatever a fleet or ``metabonk debug`` plays."""
    EVALUATION = 1


def episode_seed(
    run_seed: int,
    purpose: Purpose,
    *,
    worker: int = 0,
    start: int = 0,
    game: int = 0,
    episode: int,
) -> int:
    """Return the seed of an episode, 0 ≤ seed < 2³¹.

    The purpose is the highest bit; the others are a hash of all arguments
    (``numpy.random.SeedSequence``), the same for two episodes with a probability of 2⁻³⁰.

    Args:
        run_seed: ``learning.seed``, or that of an evaluation; ≥ 0.
        purpose: of the episode.
        worker: index of the worker.
        start: number of the worker's process in the run, see ``runs.starts``; 0 for the only one.
        game: number of the game in its worker.
        episode: number of the episode in the game since the process started, from 0.
    """
    key = (run_seed, purpose, worker, start, game, episode)
    (state,) = np.random.SeedSequence(key).generate_state(1)
    return (purpose << HASH_BITS) | (int(state) >> (32 - HASH_BITS))


def episode_seeds(
    run_seed: int, purpose: Purpose, *, worker: int = 0, start: int = 0, game: int = 0
) -> Iterator[int]:
    """Yield the seeds of a game's episodes, without end; see ``episode_seed``."""
    for episode in itertools.count():
        yield episode_seed(
            run_seed, purpose, worker=worker, start=start, game=game, episode=episode
        )


def action_seed(run_seed: int, purpose: Purpose, *, worker: int = 0, start: int = 0) -> int:
    """Return the seed of the actions that one process samples, 0 ≤ seed < 2⁶⁴.

    See ``episode_seed`` for the arguments.
    """
    key = (run_seed, purpose, worker, start)
    (state,) = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return int(state)
