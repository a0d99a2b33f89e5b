"""Making environments, and why one can't be made."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest
from gymnasium import spaces

from metabonk.errors import GameStartError
from metabonk.games.gym_environment import explain, make_environment, opened
from metabonk.games.gym_results import BadResult


class Old(gymnasium.Env[int, int]):
    """As before Gym 0.26, and without a ``render_mode``."""

    metadata = {"render.modes": ["human", "rgb_array"]}  # noqa: RUF012
    observation_space = action_space = spaces.Discrete(2)

    def __init__(self, size: int = 1) -> None:
        if size < 1:
            raise ValueError("size must be positive")
        self.size = size


class Human(Old):
    """Renders into a window only."""

    metadata = {"render_modes": ["human"]}  # noqa: RUF012


class Undescribed(Old):
    """Does not say how it renders."""

    metadata = gymnasium.Env.metadata


class Passing(Old):
    """Passes unknown arguments on."""

    def __init__(self, speed: int = 1, **others: Any) -> None:
        super().__init__(**others)


class Gyms(Old):
    """Has a space of another package."""

    action_space: Any = object()


class Sticking(Human):
    """Can't be closed."""

    def close(self) -> None:
        raise OSError("stuck")


KINDS = (Old, Human, Undescribed, Passing, Gyms, Sticking)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    kinds = {f"Made{kind.__name__}-v0": kind for kind in KINDS}
    for name, kind in kinds.items():
        gymnasium.register(name, kind)
    yield
    for name in kinds:
        del gymnasium.registry[name]


@pytest.mark.filterwarnings("ignore:.*render_modes.*")
@pytest.mark.parametrize("name", ["MadeOld-v0", "MadeUndescribed-v0"])
def test_an_environment_without_a_render_mode_may_render_all_the_same(name: str):
    environment = make_environment(name, {"size": 3})
    assert environment.unwrapped.size == 3  # type: ignore[attr-defined]
    environment.close()


@pytest.mark.filterwarnings("ignore:.*render_mode.*")
@pytest.mark.parametrize("name", ["MadeHuman-v0", "MadeSticking-v0"])
def test_an_environment_that_renders_no_arrays_is_rejected(name: str):
    with pytest.raises(GameStartError, match="does not support render_mode='rgb_array'"):
        make_environment(name, {})


@pytest.mark.filterwarnings("ignore:.*render_modes.*", "ignore:.*action_space.*")
def test_a_space_of_another_package_is_named():
    with pytest.raises(GameStartError, match=r"has object as its action_space, but needs a space"):
        make_environment("MadeGyms-v0", {})


@pytest.mark.filterwarnings("ignore:.*render_modes.*")
def test_an_environment_that_breaks_when_it_is_closed_was_open(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Old, "close", Sticking.close)
    with opened("MadeOld-v0", {}) as environment:
        assert environment.action_space == spaces.Discrete(2)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        (
            "FrozenLake-v1",
            {"slippery": False},
            r"with slippery=false: TypeError: FrozenLakeEnv.__init__\(\) got an unexpected keyword "
            r"argument 'slippery'\. Its constructor takes desc, map_name, is_slippery, ",
        ),
        ("MadeOld-v0", {"sides": 3}, r"argument 'sides'\. Its constructor takes size$"),
        ("MadePassing-v0", {"sides": 3}, r"argument 'sides'\. Its constructor takes speed, …$"),
        ("MadeOld-v0", {"size": 0}, r"with size=0: ValueError: size must be positive$"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_modes.*")
def test_an_argument_that_the_constructor_refuses_is_named(
    name: str, arguments: dict[str, Any], words: str
):
    with pytest.raises(GameStartError, match=words) as raised:
        make_environment(name, arguments)
    assert "Install" not in str(raised.value) and "kwargs" not in str(raised.value)


def test_arguments_reach_the_constructor_and_gymnasium():
    environment = make_environment("FrozenLake-v1", {"map_name": "8x8", "max_episode_steps": 5})
    assert environment.observation_space == spaces.Discrete(64)
    assert environment.spec is not None and environment.spec.max_episode_steps == 5
    environment.close()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("an OpenGL platform library has not been loaded into this process"),
        AttributeError("'NoneType' object has no attribute 'glGetError'"),
        ImportError("Cannot initialize a EGL device display"),
    ],
)
def test_how_mujoco_renders_without_a_display_is_said(error: Exception):
    words = explain(error)
    assert words.startswith(f"{type(error).__name__}: {error}. ")
    assert "MUJOCO_GL=egl" in words and "apt install libosmesa6" in words


def test_words_of_our_own_stand_alone():
    assert explain(BadResult("its reward is nan")) == "its reward is nan"
    assert explain(KeyError("x")) == "KeyError: 'x'"
