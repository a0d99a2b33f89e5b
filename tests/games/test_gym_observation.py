"""Observation spaces of Gymnasium environments."""

from typing import Any

import numpy as np
import pytest
from gymnasium import Space, spaces

from metabonk.errors import GameError
from metabonk.games.gym_observation import FrameStack, own_observer, vector_observer
from metabonk.games.gym_results import BadResult, describe
from metabonk.games.preprocessing import ObservationSpec

GAME = "gym:Made-v0"


@pytest.mark.parametrize(
    ("space", "own", "observed"),
    [
        (spaces.Box(-1, 1, (3,), np.float64), [0.5, -0.5, 1], [0.5, -0.5, 1]),
        (spaces.Box(-1, 1, (2, 2)), [[1, 2], [3, 4]], [1, 2, 3, 4]),
        (spaces.Discrete(3, start=5), 6, [0, 1, 0]),
        (spaces.MultiDiscrete([2, 3]), [1, 0], [0, 1, 1, 0, 0]),
        (spaces.MultiBinary(2), [1, 0], [1, 0]),
        (spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 9, (1,))]), (1, [7]), [0, 1, 7]),
        (
            spaces.Dict(near=spaces.Box(0, 9, (1,)), words=spaces.Text(9), far=spaces.Discrete(2)),
            {"near": [4], "words": "left", "far": 0},
            [1, 0, 4],
        ),
        (spaces.Dict(inner=spaces.Dict(a=spaces.Discrete(2))), {"inner": {"a": 1}}, [0, 1]),
    ],
)
def test_whatever_consists_of_numbers_is_a_vector(space: Space[Any], own: Any, observed: Any):
    observer = own_observer(GAME, space)
    assert observer is not None
    assert observer.shape == (len(observed),)
    vector = observer.observe(own)
    assert vector.dtype == np.float32
    assert vector.tolist() == observed


def test_a_small_grid_is_a_vector_and_no_image():
    observer = own_observer(GAME, spaces.Box(0, 10, (7, 7, 3), np.uint8))
    assert observer is not None and observer.shape == (147,)


@pytest.mark.parametrize(
    ("shape", "observed", "stackable"),
    [
        ((84, 84, 3), (84, 84, 3), True),
        ((3, 40, 60), (40, 60, 3), True),
        ((40, 60), (40, 60, 1), True),
        ((4, 84, 84), (84, 84, 4), False),
        ((84, 84, 4), (84, 84, 4), False),
        ((4, 84, 84, 3), (84, 84, 12), False),
        ((4, 84, 84, 1), (84, 84, 4), False),
        ((210, 160, 3), (84, 84, 3), True),
        ((4, 210, 160), (84, 84, 4), False),
    ],
)
def test_images_have_height_width_and_channels(
    shape: tuple[int, ...], observed: tuple[int, int, int], stackable: bool
):
    observer = own_observer(GAME, spaces.Box(0, 255, shape, np.uint8))
    assert observer is not None
    assert (observer.shape, observer.stackable) == (observed, stackable)
    image = observer.observe(np.full(shape, 7, np.uint8))
    assert image.shape == observed
    assert image.dtype == np.uint8 and (image == 7).all()


def test_the_channels_of_a_stack_keep_their_order():
    stack = np.stack([np.full((40, 40), number, np.uint8) for number in range(4)])
    observer = own_observer(GAME, spaces.Box(0, 255, (4, 40, 40), np.uint8))
    assert observer is not None
    assert observer.observe(stack)[5, 5].tolist() == [0, 1, 2, 3]


def test_float_images_are_converted_by_their_bounds():
    for high, value in ((1.0, 0.5), (255.0, 127.6)):
        observer = own_observer(GAME, spaces.Box(0, high, (40, 40, 1)))
        assert observer is not None
        assert (observer.observe(np.full((40, 40, 1), value)) == 128).all()


def test_a_size_and_color_that_are_set_apply_to_images():
    spec = ObservationSpec(60, 48, grayscale=True)
    observer = own_observer(GAME, spaces.Box(0, 255, (96, 120, 3), np.uint8), spec)
    assert observer is not None
    assert observer.shape == observer.observe(np.zeros((96, 120, 3), np.uint8)).shape == (48, 60, 1)


@pytest.mark.parametrize(
    "space", [spaces.Text(4), spaces.Box(-1, 1, (5000,)), spaces.Sequence(spaces.Discrete(2))]
)
def test_a_space_without_numbers_or_with_too_many_is_not_observed(space: Space[Any]):
    assert own_observer(GAME, space) is None
    with pytest.raises(GameError, match=r"no vector of 1 to 4096.*'pixels'"):
        vector_observer(GAME, space)


@pytest.mark.parametrize(
    ("space", "own"),
    [
        (spaces.Box(-1, 1, (3,)), np.zeros(4)),
        (spaces.Box(-1, 1, (3,)), np.array(["a", "b", "c"])),
        (spaces.Box(-1, 1, (3,)), None),
        (spaces.Box(0, 255, (40, 40, 3), np.uint8), np.zeros((40, 41, 3), np.uint8)),
        (spaces.Box(0, 255, (40, 40, 3), np.uint8), np.zeros((40, 40, 3), np.float64)),
        (spaces.Box(0, 255, (40, 40, 3), np.uint8), None),
        (spaces.Discrete(3), 3),
        (spaces.Discrete(3), -1),
        (spaces.MultiDiscrete([2, 2]), None),
        (spaces.Dict(near=spaces.Discrete(2)), {"far": 1}),
        (spaces.Dict(near=spaces.Discrete(2)), None),
    ],
)
def test_an_observation_that_is_not_of_its_space_is_named(space: Space[Any], own: Any):
    observer = own_observer(GAME, space)
    assert observer is not None
    with pytest.raises(BadResult) as raised:
        observer.observe(own)
    named = str(own.dtype) + " " + str(own.shape) if isinstance(own, np.ndarray) else describe(own)
    assert named in str(raised.value) and str(space) in str(raised.value)


def test_bytes_of_another_integer_type_are_clipped():
    observer = own_observer(GAME, spaces.Box(0, 255, (40, 40, 3), np.uint8))
    assert observer is not None
    assert (observer.observe(np.full((40, 40, 3), 300)) == 255).all()


def test_a_discrete_observation_may_be_an_array_of_one():
    observer = own_observer(GAME, spaces.Discrete(3))
    assert observer is not None
    assert observer.observe(np.array([2])).tolist() == [0, 0, 1]


def test_a_stack_begins_with_copies_of_its_first_image():
    stack = FrameStack(3)
    images = [np.full((2, 2, 1), number, np.uint8) for number in range(4)]
    stack.push(images[3])
    stack.reset()
    assert np.asarray(stack.push(images[0]))[0, 0].tolist() == [0, 0, 0]
    assert np.asarray(stack.push(images[1]))[0, 0].tolist() == [0, 0, 1]
    assert np.asarray(stack.push(images[2]))[0, 0].tolist() == [0, 1, 2]
