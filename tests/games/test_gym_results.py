"""Results of environments' methods, in every shape they come in."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from metabonk.games.gym_results import MAX_MISSING, BadResult, Renderer, read_reset, read_step


@pytest.mark.parametrize(
    "reward", [1, True, 1.0, np.float32(1), np.int64(1), np.array(1), np.array([1.0]), [1]]
)
@pytest.mark.parametrize("yes", [True, np.True_, 1, np.array([True])])
def test_numbers_of_any_kind_are_read(reward: Any, yes: Any):
    tic = read_step((7, reward, yes, False, {}))
    assert tic == (7, 1.0, True, False, {})
    assert [type(each) for each in tic[1:4]] == [float, bool, bool]


def test_termination_wins_over_truncation():
    assert read_step((7, 0, True, True, None))[2:4] == (True, False)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, r"step\(\) returned None, not an observation, a reward"),
        ((0, 1.0, False, {}), "returned a tuple of 4"),
        ((0, None, False, False, {}), "its reward is None, not a number"),
        ((0, np.zeros((2, 1)), False, False, {}), r"reward is an array of float64 \(2, 1\)"),
        ((0, "1", False, False, {}), "its reward is str"),
        ((0, np.nan, False, False, {}), "its reward is nan"),
        ((0, 1.0, None, False, {}), "its terminated is None"),
        ((0, 1.0, False, {}, {}), "its truncated is dict"),
    ],
)
def test_what_is_no_outcome_of_a_step_is_named(returned: Any, words: str):
    with pytest.raises(BadResult, match=words):
        read_step(returned)


def test_what_is_no_outcome_of_a_reset_is_named():
    assert read_reset((7, None)) == (7, None)
    with pytest.raises(BadResult, match=r"reset\(\) returned an array of float64 \(2,\), not an"):
        read_reset(np.zeros(2))


class Rendering(gymnasium.Env[int, int]):
    """Renders what it is told to."""

    def __init__(self, *rendered: Any) -> None:
        self._rendered = iter(rendered)

    def render(self) -> Any:
        return next(self._rendered, None)


def frame(value: int, height: int = 2) -> np.ndarray[Any, Any]:
    return np.full((height, 3, 3), value, np.uint8)


def test_the_last_frame_is_held_while_there_is_no_other():
    renderer = Renderer(Rendering(None, frame(5), None, [], frame(6)))
    assert renderer.render().max() == 0 and not renderer.has_rendered
    assert [renderer.render().max() for _ in range(4)] == [5, 5, 5, 6]
    assert renderer.has_rendered


def test_of_several_frames_the_newest_is_shown():
    assert Renderer(Rendering([frame(5), frame(6)])).render().max() == 6


def test_a_frame_may_have_another_size_than_the_last():
    renderer = Renderer(Rendering(frame(5), frame(5, height=9)))
    assert [len(renderer.render()) for _ in range(2)] == [2, 9]


def test_an_environment_that_no_longer_renders_is_an_error():
    renderer = Renderer(Rendering(frame(5)))
    for _ in range(1 + MAX_MISSING):
        renderer.render()
    with pytest.raises(BadResult, match="nothing 100 times in a row"):
        renderer.render()


def test_what_is_no_frame_is_named():
    with pytest.raises(BadResult, match="rendered object"):
        Renderer(Rendering(object())).render()
