"""Recording of episode logs while games are played.

Playing pays for one append a step. Encoding takes longer, and may be done later on another thread.
Episodes may be as short as a few steps, for which arrays of numpy would cost more than their
contents (docs/benchmarks.md, "Episode logs").
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metabonk.games import Transition
from metabonk.messages.workers import MAX_EPISODE_LOG_BYTES
from metabonk.policy.actor import Decision
from metabonk.policy.episode_log import (
    MAX_RAW_BYTES,
    Columns,
    EpisodeNumbers,
    EpisodeSetup,
    digest,
    encode,
    planes,
    quantized,
)

CHUNK_STEPS = 512
"""Steps that are packed at once. Each keeps the arrays of its batch, of all games, until then."""

MAX_FLOAT = 2.0**127
"""Largest magnitude of a logged reward; the checksum is of the exact ones."""

Step: TypeAlias = tuple[Any, int, float, float, NDArray[np.float32]]
"""Action, tics, reward, value and probabilities."""


class Chunk(NamedTuple):
    """Consecutive steps.

    Attributes:
        actions: see ``EpisodeLog``.
        tics: of each step, uint16.
        rewards: exact, float64.
        values: float32.
        probabilities: see ``EpisodeLog``.
    """

    actions: NDArray[Any]
    tics: bytes
    rewards: bytes
    values: bytes
    probabilities: NDArray[np.uint8]


@dataclass(frozen=True)
class Recording:
    """A finished episode; see ``EpisodeLog``.

    Attributes:
        chunks: its first steps.
        steps: its last steps.
    """

    setup: EpisodeSetup
    seed: int
    carried: bytes
    chunks: Sequence[Chunk]
    steps: Sequence[Step]
    policy_version: int
    total_reward: float

    def to_bytes(self) -> bytes | None:
        """Encode the log; None if it is too long for one."""
        chunks = [*self.chunks, pack(self.steps, self.setup)] if self.steps else self.chunks
        actions, tics, rewards, values, probabilities = zip(*chunks, strict=True)
        exact = b"".join(rewards)
        numbers = EpisodeNumbers(self.seed, self.policy_version, self.total_reward, digest(exact))
        columns = Columns(
            planes(_joined(actions)),
            b"".join(tics),
            _float32(exact) + b"".join(values),
            planes(_joined(probabilities)),
        )
        log = encode(self.setup, numbers, self.carried, columns)
        return log if len(log) <= MAX_EPISODE_LOG_BYTES else None


class EpisodeRecorder:
    """Records the episodes of a game, one after another. For one thread at a time.

    Args:
        setup: of the game.
    """

    def __init__(self, setup: EpisodeSetup) -> None:
        self._setup = setup
        self._max_chunks = MAX_RAW_BYTES // (CHUNK_STEPS * setup.step_bytes)
        self.begin(0, b"")

    def begin(self, seed: int, carried: bytes) -> None:
        """Begin an episode; one that has not finished is forgotten.

        Args:
            seed: argument of ``Game.reset``.
            carried: ``Game.carried_state`` before it.
        """
        self._seed, self._carried = seed, carried
        self._chunks: list[Chunk] = []
        self._steps: list[Step] = []

    def add(self, decision: Decision, transition: Transition) -> None:
        """Record a step."""
        steps = self._steps
        steps.append(
            (
                decision.action,
                transition.tics,
                transition.reward,
                decision.value,
                decision.probabilities,
            )
        )
        if len(steps) == CHUNK_STEPS:
            self._pack()

    def finish(self, policy_version: int, total_reward: float) -> Recording | None:
        """Return the episode; None if it is too long for a log.

        Args:
            policy_version: of its last step.
            total_reward: of the episode, unshaped.
        """
        if len(self._chunks) > self._max_chunks:
            return None
        return Recording(
            self._setup,
            self._seed,
            self._carried,
            self._chunks,
            self._steps,
            policy_version,
            total_reward,
        )

    def _pack(self) -> None:
        if len(self._chunks) <= self._max_chunks:
            self._chunks.append(pack(self._steps, self._setup))
        self._steps = []


def pack(steps: Sequence[Step], setup: EpisodeSetup) -> Chunk:
    """Return steps without the objects that hold them."""
    actions, tics, rewards, values, probabilities = zip(*steps, strict=True)
    shares = np.frombuffer(b"".join(probabilities), np.float32)
    return Chunk(
        np.array(actions, setup.action_dtype).reshape(len(steps), *setup.action_shape),
        array("H", tics).tobytes(),
        array("d", rewards).tobytes(),
        array("f", values).tobytes(),
        quantized(shares).reshape(len(steps), -1),
    )


def _float32(rewards: bytes) -> bytes:
    exact = array("d", rewards)
    if not -MAX_FLOAT < min(exact) <= max(exact) < MAX_FLOAT:
        exact = array("d", [min(max(each, -MAX_FLOAT), MAX_FLOAT) for each in exact])
    return array("f", exact).tobytes()


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
