"""Messages to a process that runs games: a request, and one reply to it. Pure.

Requests begin with what is asked for and the number of the game; replies with how it went and that
number. Numbers are little-endian; an observation begins at a multiple of eight bytes.
"""

import struct
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from metabonk.errors import GameError, GameStartError
from metabonk.games.game import ActionKind, GameDescription, Transition
from metabonk.settings.learning import Learning

_HEADER = struct.Struct("<BI")
_SEED = struct.Struct("<q")
_REPLY = struct.Struct("<B3xI")
_TRANSITION = struct.Struct("<dd???xH2x")


class Call(IntEnum):
    """Methods of a game, and its making."""

    OPEN = 0
    RESET = 1
    STEP = 2
    CARRIED_STATE = 3
    RESTORE_CARRIED_STATE = 4
    CLOSE = 5


class Outcome(IntEnum):
    """Outcomes of a call."""

    DONE = 0
    FAILED = 1
    """With a ``GameError``."""
    CANT_START = 2
    """With a ``GameStartError``."""


class Recipe(BaseModel):
    """Arguments of ``make_game``."""

    game: str
    learning: Learning


class Request(NamedTuple):
    """A call of one game."""

    call: Call
    game: int
    content: bytes = b""

    def to_bytes(self) -> bytes:
        """Encode for ``from_bytes``."""
        return _HEADER.pack(self.call, self.game) + self.content

    @classmethod
    def from_bytes(cls, data: bytes) -> "Request":
        """Decode what ``to_bytes`` encoded."""
        call, game = _HEADER.unpack_from(data)
        return cls(Call(call), game, data[_HEADER.size :])


class Reply(NamedTuple):
    """Outcome of a call of one game.

    Attributes:
        outcome: of the call.
        game: number of the game.
        content: that it returned, or the words of its error.
    """

    outcome: Outcome
    game: int
    content: memoryview

    @classmethod
    def from_bytes(cls, data: bytes) -> "Reply":
        """Decode the reply that ``done`` or ``failed`` encoded."""
        outcome, game = _REPLY.unpack_from(data)
        return cls(Outcome(outcome), game, memoryview(data)[_REPLY.size :])

    def result(self) -> memoryview:
        """Return the content.

        Raises:
            GameError: the call raised it; ``GameStartError`` likewise.
        """
        if self.outcome is Outcome.DONE:
            return self.content
        words = bytes(self.content).decode()
        raise GameStartError(words) if self.outcome is Outcome.CANT_START else GameError(words)


def done(game: int, content: bytes = b"") -> bytes:
    """Return the reply to a call that went well."""
    return _REPLY.pack(Outcome.DONE, game) + content


def failed(game: int, error: GameError) -> bytes:
    """Return the reply to a call that raised an error."""
    kind = Outcome.CANT_START if isinstance(error, GameStartError) else Outcome.FAILED
    return _REPLY.pack(kind, game) + str(error).encode()


def pack_seed(seed: int) -> bytes:
    """Encode the seed of an episode."""
    return _SEED.pack(seed)


def unpack_seed(content: bytes) -> int:
    """Decode the seed of an episode."""
    return int(_SEED.unpack(content)[0])


def pack_action(action: Any, description: GameDescription) -> bytes:
    """Encode an action."""
    return np.asarray(action, _action_dtype(description)).tobytes()


def unpack_action(content: bytes, description: GameDescription) -> Any:
    """Decode an action: an int, or ``[K]``."""
    action = np.frombuffer(content, _action_dtype(description))
    return int(action[0]) if description.action_kind is ActionKind.DISCRETE else action


def pack_observation(observation: Any) -> bytes:
    """Encode an observation."""
    return np.ascontiguousarray(observation).tobytes()


def unpack_observation(content: memoryview, description: GameDescription) -> NDArray[Any]:
    """Decode an observation, which shares the memory of ``content``."""
    shape = description.observation_shape
    dtype = np.uint8 if len(shape) == 3 else np.float32
    return np.frombuffer(content, dtype).reshape(shape)


def pack_transition(transition: Transition) -> bytes:
    """Encode the result of a step."""
    header = _TRANSITION.pack(
        transition.reward,
        transition.shaping,
        transition.terminated,
        transition.truncated,
        transition.life_lost,
        transition.tics,
    )
    return header + pack_observation(transition.observation)


def unpack_transition(content: memoryview, description: GameDescription) -> Transition:
    """Decode the result of a step."""
    reward, shaping, terminated, truncated, life_lost, tics = _TRANSITION.unpack_from(content)
    observation = unpack_observation(content[_TRANSITION.size :], description)
    return Transition(observation, reward, terminated, truncated, shaping, life_lost, tics)


def _action_dtype(description: GameDescription) -> type[np.number[Any]]:
    return np.float32 if description.action_kind is ActionKind.CONTINUOUS else np.int64
