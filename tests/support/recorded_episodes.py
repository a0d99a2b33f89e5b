"""Episodes of random play, as a worker logs them."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from metabonk.frame import Frame
from metabonk.games import ActionKind, Game, GameDescription, make_game
from metabonk.policy import Decision
from metabonk.policy.episode_log import EpisodeLog, EpisodeSetup
from metabonk.policy.episode_recorder import EpisodeRecorder
from metabonk.settings.learning import Learning

LEARNING = Learning()


def random_decisions(description: GameDescription, seed: int) -> Iterator[Decision]:
    """Yield decisions at random, without end; their values and probabilities vary as well."""
    random = np.random.default_rng(seed)
    names, sizes = description.action_names, description.action_sizes
    while True:
        action: Any
        options = len(names)
        match description.action_kind:
            case ActionKind.DISCRETE:
                action = int(random.integers(len(names)))
            case ActionKind.MULTI_DISCRETE:
                action = random.integers(sizes)
                options = sum(sizes)
            case ActionKind.CONTINUOUS:
                action = random.uniform(-1, 1, len(names)).astype(np.float32)
                options = 0
        probabilities = random.random(options, np.float32)
        yield Decision(action, 0.0, float(random.normal()), probabilities, version=7)


def play(
    game: Game,
    seed: int,
    decisions: Iterator[Decision],
    learning: Learning = LEARNING,
    on_frame: Callable[[Frame], None] | None = None,
) -> EpisodeLog:
    """Play one episode and log it; drawn if ``on_frame`` is given, which gets every frame."""
    recorder = EpisodeRecorder(EpisodeSetup.of(game.description, learning))
    recorder.begin(seed, game.carried_state())
    game.reset(seed)
    if on_frame is not None:
        on_frame(game.frame())
    total_reward = 0.0
    for decision in decisions:
        sink = None if on_frame is None else lambda draw: on_frame(draw())
        transition = game.step(decision.action, sink)
        recorder.add(decision, transition)
        total_reward += transition.reward
        if transition.terminated or transition.truncated:
            break
    recording = recorder.finish(decision.version, total_reward)
    assert recording is not None
    data = recording.to_bytes()
    assert data is not None
    return EpisodeLog.from_bytes(data)


def record(game_id: str, seed: int = 3, learning: Learning = LEARNING) -> EpisodeLog:
    """Play an episode at random, undrawn, and log it."""
    with contextlib.closing(make_game(game_id, learning)) as game:
        return play(game, seed, random_decisions(game.description, seed), learning)
