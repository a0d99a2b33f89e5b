"""Episode logs: everything that repeats an episode, and what the policy thought in each step.

An episode is its seed and its actions, so a log of 100 steps takes less than a kilobyte::

    magic, format, size, digest        _PREFIX; the digest is of all that follows
    zlib:
      numbers of the episode           _NUMBERS
      setup                            JSON, see ``EpisodeSetup``
      carried
      actions, tics, rewards and values, probabilities

Of each array, first come the first bytes of all rows, then the second ones and so on: those of a
position are alike. Rewards and values are one array of bfloat16. Data from outside can't run code,
and malformed data raises only ``WireError``.
"""

import functools
import math
import struct
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, TypeAdapter, ValidationError

from metabonk.errors import WireError
from metabonk.games import ActionKind, GameDescription, game_versions
from metabonk.messages.workers import MAX_EPISODE_LOG_BYTES
from metabonk.settings.env_args import EnvArgs
from metabonk.settings.learning import Learning

FORMAT = 1

MAX_RAW_BYTES = 8 << 20
"""Size of a log before compression; 300,000 steps of an Atari game."""

MAX_SEED = 2**31 - 1

LEVEL, WINDOW_BITS, MEMORY_LEVEL = 1, 12, 5
"""Parameters of zlib. A higher level or a larger window saves 5 % (docs/benchmarks.md, "Episode
logs")."""

DICTIONARY = (
    b'{"game":"gym:doom:defend_the_center","env_args":{},"frame_skip":4,"versions":{"metabonk":"0.'
    b'2.0","ale-py":"0.12.1","vizdoom":"1.3.2","gymnasium":"1.4.0","numpy":"2.4.6"},"action_kind":'
    b'"continuous","action_kind":"multi_discrete","action_kind":"discrete","action_sizes":[2],"axes'
    b'":0}'
)
"""Preset dictionary of zlib for the setup; part of the format."""

_MAGIC = b"MBE"
_PREFIX = struct.Struct("<3sBI8s")
_NUMBERS = struct.Struct("<IQd8sIII")


@dataclass(frozen=True)
class EpisodeSetup:
    """Game of an episode, as it is made again.

    Attributes:
        game: argument of ``make_game``.
        env_args: ``learning.env_args``.
        frame_skip: ``learning.frame_skip``.
        versions: of the packages that the game consists of, see ``games.game_versions``.
        action_kind: of the action space.
        action_sizes: options of each choice, of which a discrete space has one; else empty.
        axes: of a continuous action space; else 0.
    """

    game: Annotated[str, Field(min_length=1, max_length=200)]
    env_args: EnvArgs
    frame_skip: Annotated[int, Field(ge=1, le=32)]
    versions: Annotated[dict[str, str], Field(max_length=16)]
    action_kind: ActionKind
    action_sizes: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = ()
    axes: Annotated[int, Field(ge=0, le=4096)] = 0

    @classmethod
    def of(cls, description: GameDescription, learning: Learning) -> "EpisodeSetup":
        """Return the setup of a game that ``make_game`` made with these settings."""
        kind, count = description.action_kind, len(description.action_names)
        return cls(
            game=description.id,
            env_args=learning.env_args,
            frame_skip=learning.frame_skip,
            versions=game_versions(description.id),
            action_kind=kind,
            action_sizes=(count,) if kind is ActionKind.DISCRETE else description.action_sizes,
            axes=count if kind is ActionKind.CONTINUOUS else 0,
        )

    @property
    def action_dtype(self) -> np.dtype[Any]:
        """Dtype of a logged action: the smallest that holds every option."""
        if self.action_kind is ActionKind.CONTINUOUS:
            return np.dtype("<f4")
        return np.dtype("u1" if max(self.action_sizes) <= 256 else "<u2")

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of an action."""
        if self.action_kind is ActionKind.DISCRETE:
            return ()
        return (self.axes or len(self.action_sizes),)

    @property
    def options(self) -> int:
        """Number of probabilities in a step."""
        return sum(self.action_sizes)

    @property
    def step_bytes(self) -> int:
        """Size of a step before compression."""
        return self.action_dtype.itemsize * math.prod(self.action_shape) + 6 + self.options

    @functools.cached_property
    def json(self) -> bytes:
        """The setup as JSON."""
        return _SETUP.dump_json(self)


_SETUP = TypeAdapter(EpisodeSetup)


@dataclass(frozen=True)
class EpisodeLog:
    """One episode of T steps: how it began, what was done, and what came of it.

    Attributes:
        setup: its game.
        seed: argument of ``Game.reset``.
        carried: argument of ``Game.restore_carried_state`` before that.
        actions: ``[T]`` uint8 or uint16, or ``[T, K]`` of these or of float32; see ``action``.
        tics: of each step, ``[T]`` uint16.
        rewards: of each step, unshaped, ``rounded``; ``[T]`` float32.
        values: that the policy expected before each step, ``rounded``; ``[T]`` float32.
        probabilities: of every option before each step, in 255ths; ``[T, A]`` uint8, A is 0 for
            continuous actions.
        checksum: of the exact rewards, see ``checksum_of``.
        policy_version: that took the last step.
        total_reward: exact unshaped return.
    """

    setup: EpisodeSetup
    seed: int
    carried: bytes
    actions: NDArray[Any]
    tics: NDArray[np.uint16]
    rewards: NDArray[np.float32]
    values: NDArray[np.float32]
    probabilities: NDArray[np.uint8]
    checksum: bytes
    policy_version: int
    total_reward: float

    def __len__(self) -> int:
        """Return the number of steps, T."""
        return len(self.tics)

    def action(self, step: int) -> Any:
        """Return the action of a step as ``Game.step`` takes it."""
        action = self.actions[step]
        match self.setup.action_kind:
            case ActionKind.DISCRETE:
                return int(action)
            case ActionKind.MULTI_DISCRETE:
                return action.astype(np.int64)
        return action

    def to_bytes(self) -> bytes:
        """Encode the log."""
        return encode(
            self.setup,
            EpisodeNumbers(self.seed, self.policy_version, self.total_reward, self.checksum),
            self.carried,
            Columns(
                planes(self.actions),
                self.tics.tobytes(),
                np.concatenate((self.rewards, self.values)).tobytes(),
                planes(self.probabilities),
            ),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "EpisodeLog":
        """Decode a log from an untrusted source.

        Raises:
            WireError: it is no episode log, damaged, or of a later version; says which.
        """
        raw = _Reader(_decompress(data))
        *numbers, steps, setup_size, carried_size = _NUMBERS.unpack(raw.read(_NUMBERS.size))
        setup = _read_setup(raw.read(setup_size))
        carried = raw.read(carried_size)
        if not steps or raw.left != steps * setup.step_bytes:
            raise WireError(
                f"the episode log has {raw.left} bytes for {steps} steps of {setup.step_bytes}"
            )
        actions = raw.read_array(setup.action_dtype, (steps, *setup.action_shape))
        tics = raw.read_array(np.dtype("<u2"), (steps,))
        halves = raw.read_array(np.dtype("<u2"), (2 * steps,)).reshape(2, steps)
        probabilities = raw.read_array(np.dtype("u1"), (steps, setup.options))
        rewards, values = (halves.astype("<u4") << 16).view("<f4")
        log = cls(
            setup,
            carried=carried,
            actions=actions,
            tics=tics,
            rewards=rewards,
            values=values,
            probabilities=probabilities,
            **EpisodeNumbers(*numbers)._asdict(),
        )
        log._check_values()
        return log

    def _check_values(self) -> None:
        if self.seed > MAX_SEED:
            raise WireError(f"the episode log has the seed {self.seed}, more than {MAX_SEED}")
        numbers = [self.rewards, self.values, np.array(self.total_reward)]
        if self.setup.action_kind is ActionKind.CONTINUOUS:
            numbers.append(self.actions)
        if not all(np.isfinite(each).all() for each in numbers):
            raise WireError("the episode log has numbers that are not finite")
        choices = np.reshape(self.actions, (len(self), -1)).T
        for choice, size in zip(choices, self.setup.action_sizes, strict=False):
            if choice.max() >= size:
                raise WireError(
                    f"the episode log has the action {choice.max()}; {self.setup.game} has {size}, "
                    "from 0"
                )


class EpisodeNumbers(NamedTuple):
    """Numbers of an episode; see ``EpisodeLog``."""

    seed: int
    policy_version: int
    total_reward: float
    checksum: bytes


class Columns(NamedTuple):
    """Steps of an episode, as bytes; see ``EpisodeLog``.

    Attributes:
        actions: as ``planes``.
        tics: little-endian uint16.
        rewards_and_values: little-endian float32; all rewards come first.
        probabilities: as ``planes``.
    """

    actions: bytes
    tics: bytes
    rewards_and_values: bytes
    probabilities: bytes


def encode(setup: EpisodeSetup, numbers: EpisodeNumbers, carried: bytes, columns: Columns) -> bytes:
    """Encode a log; see ``EpisodeLog.to_bytes``."""
    tics, floats = columns.tics, columns.rewards_and_values
    raw = b"".join(
        (
            _NUMBERS.pack(*numbers, len(tics) // 2, len(setup.json), len(carried)),
            setup.json,
            carried,
            columns.actions,
            tics[::2],
            tics[1::2],
            # The upper half of a float32 is a bfloat16.
            floats[2::4],
            floats[3::4],
            columns.probabilities,
        )
    )
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW_BITS, MEMORY_LEVEL, zdict=DICTIONARY)
    compressed = compressor.compress(raw) + compressor.flush()
    return _PREFIX.pack(_MAGIC, FORMAT, len(raw), digest(compressed)) + compressed


def planes(array: NDArray[Any]) -> bytes:
    """Return the first bytes of all rows of an array, then the second ones and so on."""
    return array.view(np.uint8).reshape(len(array), -1).T.tobytes()


def rounded(numbers: ArrayLike) -> NDArray[np.float32]:
    """Round numbers as logs do: to bfloat16, which has 8 significant bits, towards zero."""
    bits = np.asarray(numbers).astype("<f4").view("<u4")
    return (bits & 0xFFFF0000).view("<f4")


def quantized(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round probabilities as logs do: to 255ths."""
    return (probabilities * 255 + 0.5).astype(np.uint8)


def checksum_of(rewards: ArrayLike) -> bytes:
    """Return the BLAKE2b-64 of rewards as little-endian float64."""
    return digest(np.asarray(rewards, "<f8").tobytes())


def digest(data: bytes) -> bytes:
    """Return the BLAKE2b-64 of data."""
    return blake2b(data, digest_size=8).digest()


class _Reader:
    """Reads a decompressed log from its beginning.

    Attributes:
        left: bytes that were not read yet.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.left = len(data)

    def read(self, size: int) -> bytes:
        if size > self.left:
            raise WireError(f"the episode log ends {size - self.left} bytes too early")
        start = len(self._data) - self.left
        self.left -= size
        return self._data[start : start + size]

    def read_array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        encoded = np.frombuffer(self.read(dtype.itemsize * math.prod(shape)), np.uint8)
        rows = encoded.reshape(-1, shape[0]).T
        return np.ascontiguousarray(rows).view(dtype).reshape(shape)


def _decompress(data: bytes) -> bytes:
    if len(data) > MAX_EPISODE_LOG_BYTES:
        raise WireError(
            f"the episode log has {len(data)} bytes; at most {MAX_EPISODE_LOG_BYTES} are read"
        )
    if len(data) < _PREFIX.size or not data.startswith(_MAGIC):
        raise WireError("this is no episode log of MetaBonk")
    _, version, size, expected = _PREFIX.unpack_from(data)
    if version > FORMAT:
        raise WireError("a later version of MetaBonk wrote this episode log; update to read it")
    compressed = data[_PREFIX.size :]
    if expected != digest(compressed):
        raise WireError("the episode log is damaged: its checksum does not match")
    if size > MAX_RAW_BYTES:
        raise WireError(f"the episode log claims {size} bytes; at most {MAX_RAW_BYTES} are read")
    decompressor = zlib.decompressobj(WINDOW_BITS, zdict=DICTIONARY)
    try:
        raw = decompressor.decompress(compressed, size + 1)
    except zlib.error as error:
        raise WireError(f"the episode log can't be decompressed: {error}") from None
    if len(raw) != size or not decompressor.eof or decompressor.unused_data:
        raise WireError(f"the episode log does not hold the {size} bytes that it claims")
    return raw


def _read_setup(encoded: bytes) -> EpisodeSetup:
    try:
        setup = _SETUP.validate_json(encoded)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise WireError(f"invalid episode log: {where or 'setup'}: {problem['msg']}") from None
    is_continuous = setup.action_kind is ActionKind.CONTINUOUS
    if is_continuous != (not setup.action_sizes) or is_continuous != bool(setup.axes):
        raise WireError("invalid episode log: action_sizes and axes don't fit the action_kind")
    return setup
