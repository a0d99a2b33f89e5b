"""Rewards that programs write to a socket."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from metabonk.desktop.reward_socket import VARIABLE, RewardSocket
from metabonk.errors import GameError


@pytest.fixture
def rewards() -> Iterator[RewardSocket]:
    with (
        TemporaryDirectory() as folder,
        contextlib.closing(RewardSocket(Path(folder) / "rewards")) as opened,
    ):
        yield opened


def connect(rewards: RewardSocket) -> socket.socket:
    game = socket.socket(socket.AF_UNIX)
    game.connect(rewards.environment[VARIABLE])
    return game


def test_rewards_add_up_and_an_episode_ends(rewards: RewardSocket):
    with connect(rewards) as game:
        game.sendall(b"reward 1.5\nreward -1\nrewa")
        rewards.read()
        assert (rewards.total, rewards.is_done) == (0.5, False)
        game.sendall(b"rd 2\ndone\n")
        rewards.read()
        assert (rewards.total, rewards.is_done) == (2.5, True)
        rewards.begin()
        rewards.read()
        assert (rewards.total, rewards.is_done) == (0, False)


def test_several_may_connect_and_leave(rewards: RewardSocket):
    with connect(rewards) as first, connect(rewards) as second:
        first.sendall(b"reward 1\n")
        second.sendall(b"reward 2\n")
    rewards.read()
    with connect(rewards) as third:
        third.sendall(b"reward 4\n")
        rewards.read()
    rewards.read()
    assert rewards.total == 7


@pytest.mark.parametrize(
    "line", [b"reward\n", b"reward much\n", b"reward nan\n", b"score 1\n", b"x" * 300]
)
def test_another_line_is_a_sentence(rewards: RewardSocket, line: bytes):
    with connect(rewards) as game:
        game.sendall(line)
        with pytest.raises(GameError, match=r"it wrote '.*' to METABONK_REWARDS, which takes"):
            rewards.read()


def test_a_path_that_is_too_long_is_a_sentence(tmp_path: Path):
    with pytest.raises(GameError, match=r"at most 107 bytes: set XDG_RUNTIME_DIR to a folder"):
        RewardSocket(tmp_path / ("x" * 100))
