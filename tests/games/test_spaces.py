"""What Gymnasium's spaces are to a policy."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metabonk.errors import GameError
from metabonk.games import ActionKind
from metabonk.games.spaces import Actions, make_actions, vector_length


def actions_of(space: gymnasium.Space[Any]) -> Actions:
    environment: gymnasium.Env[Any, Any] = gymnasium.Env()
    environment.action_space = space
    return make_actions("gym:Made-v0", environment)


def test_discrete_actions_count_from_where_the_space_begins():
    actions = actions_of(spaces.Discrete(3, start=-1))
    assert actions.kind is ActionKind.DISCRETE
    assert actions.names == ("action 0", "action 1", "action 2")
    assert [actions.take(action) for action in range(3)] == [-1, 0, 1]


def test_several_choices_keep_their_sizes_their_shape_and_their_beginnings():
    space = spaces.MultiDiscrete(np.array([[2, 3]]), start=np.array([[5, 0]]))
    actions = actions_of(space)
    assert actions.kind is ActionKind.MULTI_DISCRETE
    assert actions.sizes == (2, 3)
    assert len(actions.names) == len(set(actions.names)) == 5
    taken = actions.take(np.array([1, 2]))
    assert taken.tolist() == [[6, 2]]
    assert space.contains(taken)


def test_switches_are_choices_of_two():
    space = spaces.MultiBinary(3)
    actions = actions_of(space)
    assert actions.sizes == (2, 2, 2)
    assert space.contains(actions.take(np.array([1, 0, 1])))


def test_an_axis_reaches_from_end_to_end_and_no_further():
    low, high = np.array([[-2, 0], [2, 10]], np.float32)
    space = spaces.Box(low, high)
    actions = actions_of(space)
    assert actions.kind is ActionKind.CONTINUOUS
    assert len(actions.names) == 2
    for action, expected in [((-1, -1), [-2, 0]), ((0.5, 0), [1, 5]), ((9, 1.5), [2, 10])]:
        taken = actions.take(np.array(action, np.float32))
        assert taken.tolist() == expected
        assert space.contains(taken)


def test_an_axis_without_ends_is_taken_as_it_is():
    low, high = np.array([-np.inf, 0.0]), np.array([np.inf, np.inf])
    actions = actions_of(spaces.Box(low, high, dtype=np.float64))
    assert actions.take(np.array([7.0, -3.0])).tolist() == [7, 0]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(4),
        spaces.Dict({"a": spaces.Discrete(2)}),
        spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
        spaces.Box(0, 255, (4,), np.uint8),
        spaces.Box(-1, 1, ()),
    ],
)
def test_actions_of_other_kinds_are_refused_with_what_they_are(space: gymnasium.Space[Any]):
    with pytest.raises(GameError) as caught:
        actions_of(space)
    assert str(space) in str(caught.value)
    assert "MultiDiscrete" in str(caught.value)


def test_a_row_of_numbers_has_a_length():
    assert vector_length("gym:Made-v0", spaces.Box(-1, 1, (17,))) == 17


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(3), spaces.Box(-1, 1, (2, 2)), spaces.Box(-1, 1, (5000,))],
)
def test_what_is_no_row_of_numbers_is_refused(space: gymnasium.Space[Any]):
    with pytest.raises(GameError, match=r"learning\.observation to 'pixels'"):
        vector_length("gym:Made-v0", space)
