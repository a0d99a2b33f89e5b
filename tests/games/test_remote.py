"""Games in another process, compared with games of this one."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from metabonk.errors import GameError, GameStartError
from metabonk.games import Game, make_game
from metabonk.games.game import ActionKind
from metabonk.games.remote import GameProcess, RemoteGame
from metabonk.settings.learning import Learning
from tests.support.waiting import until

LEARNING = Learning()
STARTER = """
from metabonk.games.remote import GameProcess
print(GameProcess().pid, flush=True)
input()
"""


@pytest.fixture(scope="module")
def process() -> Iterator[GameProcess]:
    started = GameProcess()
    yield started
    started.close()


def remote(
    process: GameProcess, game_id: str, learning: Learning = LEARNING
) -> tuple[Game, RemoteGame]:
    """Return a game of this process, and the same one in the other."""
    here = make_game(game_id, learning)
    return here, RemoteGame(process, 1, game_id, learning, here.description)


def action_of(game: Game, random: np.random.Generator) -> Any:
    """Return a random action."""
    match game.description.action_kind:
        case ActionKind.DISCRETE:
            return int(random.integers(len(game.action_names)))
        case ActionKind.MULTI_DISCRETE:
            return random.integers(game.description.action_sizes)
        case ActionKind.CONTINUOUS:
            return random.uniform(-1, 1, len(game.action_names)).astype(np.float32)


@pytest.mark.parametrize(
    ("game_id", "learning"),
    [
        ("gym:CartPole-v1", LEARNING),
        ("gym:Pendulum-v1", LEARNING),
        ("gym:ALE/Pong-v5", LEARNING),
        ("gym:CartPole-v1", Learning(observation="pixels", env_args={"sutton_barto_reward": True})),
    ],
)
def test_an_episode_is_the_same_in_another_process(
    process: GameProcess, game_id: str, learning: Learning
):
    here, there = remote(process, game_id, learning)
    assert there.carried_state() == here.carried_state()
    random = np.random.default_rng(0)
    for seed in (1, 2):
        assert np.array_equal(here.reset(seed), there.reset(seed))
        for _ in range(30):
            action = action_of(here, random)
            expected, got = here.step(action), there.step(action)
            assert np.array_equal(np.asarray(got.observation), np.asarray(expected.observation))
            assert got._replace(observation=None) == expected._replace(observation=None)
            if expected.terminated or expected.truncated:
                break
    here.close()
    there.close()


def test_games_of_one_process_may_be_called_before_others_have_answered(process: GameProcess):
    here, one = remote(process, "gym:CartPole-v1")
    other = RemoteGame(process, 2, "gym:CartPole-v1", LEARNING, here.description)
    one.reset(1)
    other.reset(2)
    assert other.begin_step(1)
    restarted = one.reset(3)
    outcome = other.step(1)
    assert np.array_equal(restarted, here.reset(3))
    here.reset(2)
    assert np.array_equal(outcome.observation, here.step(1).observation)
    for game in (one, other, here):
        game.close()


def test_a_game_that_cant_start_there_says_why(process: GameProcess):
    description = make_game("gym:CartPole-v1", LEARNING).description
    with pytest.raises(GameStartError, match="NoSuchThing"):
        RemoteGame(process, 2, "gym:NoSuchThing-v0", LEARNING, description)


def test_what_goes_wrong_there_is_raised_here(process: GameProcess):
    here, there = remote(process, "gym:CartPole-v1")
    with pytest.raises(GameError, match="call reset"):
        there.step(0)
    there.reset(1)
    there.close()
    here.close()


def test_a_process_that_is_killed_breaks_its_games():
    killed = GameProcess()
    here, there = remote(killed, "gym:CartPole-v1")
    there.reset(0)
    psutil.Process(killed.pid).kill()
    with pytest.raises(GameError, match=r"ended unexpectedly \(exit code -9\)"):
        there.step(0)
    there.close()
    killed.close()
    here.close()


def test_a_process_ends_with_its_games_when_it_is_closed():
    closed = GameProcess()
    here, _ = remote(closed, "gym:CartPole-v1")
    here.close()
    closed.close()
    assert not psutil.pid_exists(closed.pid)


@pytest.mark.usefixtures("cleanup_lock")  # Others may take it for an orphan.
def test_a_process_ends_with_the_one_that_started_it():
    command = [sys.executable, "-c", STARTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    until("it has ended", lambda: not psutil.pid_exists(pid), 60)
