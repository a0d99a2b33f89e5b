"""Names of actions: those of the environment, or numbers."""

import importlib
from typing import Any

import gymnasium
import pytest

from metabonk.broadcast.action_names import action_names

for module in ("ale_py", "minigrid"):
    importlib.import_module(module)  # Registers its environments.


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("CartPole-v1", ("0", "1")),
        ("ALE/Pong-v5", ("noop", "fire", "right", "left", "rightfire", "leftfire")),
        (
            "MiniGrid-DoorKey-6x6-v0",
            ("left", "right", "forward", "pickup", "drop", "toggle", "done"),
        ),
        ("Pendulum-v1", ()),
    ],
)
def test_actions_have_the_names_that_their_environment_gives_them(name: str, names: Any):
    environment = gymnasium.make(name)
    assert action_names(environment) == names
    environment.close()


class Odd(gymnasium.Env[int, int]):
    def __init__(self, count: int, start: int = 0) -> None:
        self.action_space = gymnasium.spaces.Discrete(count, start=start)  # type: ignore[assignment]

    def get_action_meanings(self) -> int:
        return 3


def test_names_that_are_none_are_left():
    assert action_names(Odd(2)) == ("0", "1")
    assert action_names(Odd(2, start=-1)) == ("-1", "0")
    assert action_names(Odd(5000)) == ()
