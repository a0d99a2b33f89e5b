"""Episode logs: encoding, and reading what others may have damaged."""

import dataclasses
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metabonk.errors import WireError
from metabonk.games import ActionKind, describe_game
from metabonk.messages.workers import MAX_EPISODE_LOG_BYTES
from metabonk.policy import episode_log
from metabonk.policy.episode_log import (
    DICTIONARY,
    FORMAT,
    MAX_RAW_BYTES,
    WINDOW_BITS,
    EpisodeLog,
    EpisodeSetup,
    checksum_of,
    rounded,
)
from metabonk.settings.learning import Learning
from tests.support.episode_logs import CONTINUOUS, DISCRETE, MULTI_DISCRETE, SETUPS, recorded

LOG = recorded()


def packed(raw: bytes, *, size: int | None = None) -> bytes:
    """Return a log of decompressed bytes whose own checksum is right."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, WINDOW_BITS, zdict=DICTIONARY)
    compressed = compressor.compress(raw) + compressor.flush()
    return (
        episode_log._PREFIX.pack(
            b"MBE",
            FORMAT,
            len(raw) if size is None else size,
            episode_log.digest(compressed),
        )
        + compressed
    )


def unpacked(log: bytes) -> bytes:
    compressed = log[episode_log._PREFIX.size :]
    return zlib.decompressobj(WINDOW_BITS, zdict=DICTIONARY).decompress(compressed)


@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.game)
@pytest.mark.parametrize("steps", [1, 2, 700])
def test_a_log_is_read_as_it_was_written(setup: EpisodeSetup, steps: int):
    log = EpisodeLog.from_bytes(recorded(setup, steps, seed=steps))
    assert log.setup == setup
    assert len(log) == steps
    again = EpisodeLog.from_bytes(log.to_bytes())
    for field in dataclasses.fields(EpisodeLog):
        value, repeated = getattr(log, field.name), getattr(again, field.name)
        assert (
            np.array_equal(value, repeated) if isinstance(value, np.ndarray) else value == repeated
        )


def test_what_a_game_carried_over_is_kept():
    log = dataclasses.replace(EpisodeLog.from_bytes(LOG), carried=bytes(range(256)))
    assert EpisodeLog.from_bytes(log.to_bytes()).carried == bytes(range(256))


def test_actions_are_as_games_take_them():
    discrete = EpisodeLog.from_bytes(LOG).action(0)
    assert type(discrete) is int
    choices = EpisodeLog.from_bytes(recorded(MULTI_DISCRETE)).action(0)
    assert (choices.dtype, choices.shape) == (np.int64, (3,))
    axes = EpisodeLog.from_bytes(recorded(CONTINUOUS)).action(0)
    assert (axes.dtype, axes.shape) == (np.float32, (6,))


def test_a_hundred_steps_take_less_than_a_kilobyte():
    sizes = [len(recorded(DISCRETE, steps=100, seed=seed)) for seed in range(20)]
    assert np.median(sizes) < 1024


def test_the_setup_is_that_of_the_game():
    learning = Learning(frame_skip=2)
    setup = EpisodeSetup.of(describe_game("doom:basic", learning), learning)
    assert (setup.game, setup.frame_skip) == ("doom:basic", 2)
    assert setup.action_kind is ActionKind.DISCRETE
    assert {"metabonk", "vizdoom"} <= setup.versions.keys()


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1.0, 1.0), (-0.01, -0.00994873046875), (1 + 2**-8, 1.0), (-(1 + 3 * 2**-8), -(1 + 2**-7))],
)
def test_numbers_are_rounded_to_eight_bits(number: float, expected: float):
    assert rounded(number) == expected


def test_the_checksum_is_of_the_exact_rewards():
    assert checksum_of([1.0, 2.0]) == checksum_of(np.array([1.0, 2.0]))
    assert checksum_of([1.0, 2.0]) != checksum_of([1.0, np.nextafter(2.0, 3.0)])


@given(st.data())
def test_a_damaged_log_is_refused(data: st.DataObject):
    position = data.draw(st.integers(0, len(LOG) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    flipped = LOG[:position] + bytes([LOG[position] ^ bit]) + LOG[position + 1 :]
    with pytest.raises(WireError):
        EpisodeLog.from_bytes(flipped)
    with pytest.raises(WireError):
        EpisodeLog.from_bytes(LOG[:position])


@given(st.binary(max_size=400), st.integers(0, 2**32 - 1))
@example(unpacked(LOG)[:-1], 1)
@example(unpacked(LOG) + b"x", 1)
def test_hostile_contents_are_refused(raw: bytes, size: int):
    """Whoever forges a log forges its checksum too."""
    with pytest.raises(WireError):
        EpisodeLog.from_bytes(packed(raw))
    with pytest.raises(WireError):
        EpisodeLog.from_bytes(packed(raw, size=size))


def test_a_changed_byte_of_the_contents_is_refused_or_gives_a_valid_log():
    raw = unpacked(LOG)
    for position in range(0, len(raw), 3):
        changed = raw[:position] + bytes([raw[position] ^ 0xFF]) + raw[position + 1 :]
        try:
            log = EpisodeLog.from_bytes(packed(changed))
        except WireError:
            continue
        assert log.actions.max() < DISCRETE.action_sizes[0]
        assert np.isfinite([*log.rewards, *log.values, log.total_reward]).all()


def test_a_decompression_bomb_is_not_unpacked():
    bomb = packed(bytes(2 * MAX_RAW_BYTES), size=MAX_RAW_BYTES)
    assert len(bomb) < MAX_EPISODE_LOG_BYTES
    with pytest.raises(WireError, match=f"the {MAX_RAW_BYTES} bytes"):
        EpisodeLog.from_bytes(bomb)
    with pytest.raises(WireError, match="at most"):
        EpisodeLog.from_bytes(packed(b"", size=MAX_RAW_BYTES + 1))
    with pytest.raises(WireError, match="at most"):
        EpisodeLog.from_bytes(LOG[:4] + bytes(MAX_EPISODE_LOG_BYTES))


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b"", "no episode log"),
        (b"SQLite format 3\0" + bytes(100), "no episode log"),
        (LOG[:3] + bytes([FORMAT + 1]) + LOG[4:], "later version"),
        (LOG[:40], "damaged"),
    ],
)
def test_the_error_says_what_is_wrong(damaged: bytes, message: str):
    with pytest.raises(WireError, match=message):
        EpisodeLog.from_bytes(damaged)


@pytest.mark.parametrize(
    "edit",
    [
        {"frame_skip": 0},
        {"action_sizes": []},
        {"action_sizes": [0]},
        {"axes": 3},
        {"versions": {str(i): "1" for i in range(17)}},
        {"game": ""},
    ],
    ids=str,
)
def test_an_impossible_setup_is_refused(edit: dict[str, Any]):
    log = EpisodeLog.from_bytes(LOG)
    setup = json.loads(log.setup.json) | edit
    forged = object.__new__(EpisodeSetup)
    for name, value in vars(log.setup).items():
        object.__setattr__(forged, name, value)
    object.__setattr__(forged, "json", json.dumps(setup).encode())
    with pytest.raises(WireError, match=r"invalid episode log|bytes for"):
        EpisodeLog.from_bytes(dataclasses.replace(log, setup=forged).to_bytes())
