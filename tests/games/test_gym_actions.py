"""Action spaces of Gymnasium environments."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metabonk.errors import GameError
from metabonk.games import ActionKind
from metabonk.games.gym_actions import Actions, make_actions


def actions_of(space: gymnasium.Space[Any]) -> Actions:
    environment: gymnasium.Env[Any, Any] = gymnasium.Env()
    environment.action_space = space
    return make_actions("gym:Made-v0", environment)


def test_discrete_actions_are_offset_by_the_start_of_the_space():
    actions = actions_of(spaces.Discrete(3, start=-1))
    assert actions.kind is ActionKind.DISCRETE
    assert actions.names == ("action 0", "action 1", "action 2")
    assert [actions.to_env(action) for action in range(3)] == [-1, 0, 1]


def test_actions_without_readable_names_are_numbered():
    class Nameless(gymnasium.Env[Any, Any]):
        action_space = spaces.Discrete(2)

        def get_action_meanings(self) -> list[str]:
            raise KeyError("left")

    assert make_actions("gym:Made-v0", Nameless()).names == ("action 0", "action 1")


def test_multi_discrete_actions_keep_sizes_shape_and_starts():
    space = spaces.MultiDiscrete(np.array([[2, 3]]), start=np.array([[5, 0]]))
    actions = actions_of(space)
    assert actions.kind is ActionKind.MULTI_DISCRETE
    assert actions.sizes == (2, 3)
    assert len(actions.names) == len(set(actions.names)) == 5
    env_action = actions.to_env(np.array([1, 2]))
    assert env_action.tolist() == [[6, 2]]
    assert space.contains(env_action)


def test_multi_binary_actions_are_choices_of_two():
    space = spaces.MultiBinary(3)
    actions = actions_of(space)
    assert actions.sizes == (2, 2, 2)
    assert space.contains(actions.to_env(np.array([1, 0, 1])))


def test_continuous_actions_are_scaled_and_clipped_to_the_bounds():
    low, high = np.array([[-2, 0], [2, 10]], np.float32)
    space = spaces.Box(low, high)
    actions = actions_of(space)
    assert actions.kind is ActionKind.CONTINUOUS
    assert len(actions.names) == 2
    for action, expected in [((-1, -1), [-2, 0]), ((0.5, 0), [1, 5]), ((9, 1.5), [2, 10])]:
        env_action = actions.to_env(np.array(action, np.float32))
        assert env_action.tolist() == expected
        assert space.contains(env_action)


def test_continuous_actions_without_bounds_are_not_scaled():
    low, high = np.array([-np.inf, 0.0]), np.array([np.inf, np.inf])
    actions = actions_of(spaces.Box(low, high, dtype=np.float64))
    assert actions.to_env(np.array([7.0, -3.0])).tolist() == [7, 0]


def test_few_integers_in_a_box_are_choices():
    space = spaces.Box(np.array([[-2, 0]]), np.array([[2, 1]]), dtype=np.int32)
    actions = actions_of(space)
    assert actions.kind is ActionKind.MULTI_DISCRETE
    assert actions.sizes == (5, 2)
    for action, expected in [((0, 0), [[-2, 0]]), ((4, 1), [[2, 1]])]:
        env_action = actions.to_env(np.array(action))
        assert env_action.tolist() == expected
        assert space.contains(env_action)
    assert actions_of(spaces.Box(0, 255, (1,), np.uint8)).sizes == (256,)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(4),
        spaces.Dict({"a": spaces.Discrete(2)}),
        spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
        spaces.Box(0, 255, (4,), np.uint8),
        spaces.Box(-(2**62), 2**62, (1,), np.int64),
        spaces.Box(-1, 1, ()),
    ],
)
def test_an_unsupported_action_space_is_rejected_by_name(space: gymnasium.Space[Any]):
    with pytest.raises(GameError) as caught:
        actions_of(space)
    assert str(space) in str(caught.value)
    assert "MultiDiscrete" in str(caught.value)
