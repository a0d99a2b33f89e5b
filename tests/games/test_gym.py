"""Gymnasium environments as games."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from metabonk.errors import GameError
from metabonk.frame import Frame
from metabonk.games import ActionKind, describe_game, make_game
from metabonk.games.gym import Actions, GymGame, describe_gym, make_actions, vector_length
from metabonk.settings.schema import Learning

MINIGRID = "minigrid:MiniGrid-Empty-5x5-v0"


class Corridor(gymnasium.Env[int, int]):
    """Counts to five. Action 3 advances; action 4 ends the episode with both flags set."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = spaces.Discrete(10)
    action_space = spaces.Discrete(3, start=3)

    def __init__(self, render_mode: str | None = None, image: str = "good") -> None:
        self.render_mode = render_mode
        self.image = image
        self.at = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = int(self.np_random.integers(2)) * 0
        return self.at, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.at += action == 3
        return self.at, 0.5, action == 4, self.at >= 5 or action == 4, {}

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        if self.image == "none":
            return None
        return np.full((90, 160, 3), 40 * self.at, np.uint8)

    def get_action_meanings(self) -> list[str]:
        return ["GO", "STOP", "STAY"]


class TextCommands(Corridor):
    """Has an unsupported action space."""

    action_space = spaces.Text(8)  # type: ignore[assignment]


class VectorCorridor(Corridor):
    """Observes a vector and counts its renderings."""

    observation_space = spaces.Box(-1, 9, (2,), np.float64)  # type: ignore[assignment]
    rendered = 0

    def reset(  # type: ignore[override]
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        at, info = super().reset(seed=seed)
        return np.array([at, -1.0]), info

    def step(  # type: ignore[override]
        self, action: int
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        at, *rest = super().step(action)
        return np.array([at if at < 3 else np.nan, -1.0]), *rest  # type: ignore[return-value]

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        VectorCorridor.rendered += 1
        return super().render()


class Unrendered(Corridor):
    """Renders nothing."""

    metadata = {"render_modes": []}  # noqa: RUF012


class Broken(Corridor):
    """Fails on construction."""

    def __init__(self, render_mode: str | None = None) -> None:
        raise FileNotFoundError("corridor.rom")


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    names = {
        "Corridor-v0": Corridor,
        "Unrendered-v0": Unrendered,
        "Broken-v0": Broken,
        "VectorCorridor-v0": VectorCorridor,
        "TextCommands-v0": TextCommands,
    }
    for name, kind in names.items():
        gymnasium.register(name, kind, disable_env_checker=True)
    yield
    for name in names:
        del gymnasium.registry[name]


@pytest.fixture
def corridor() -> Iterator[GymGame]:
    game = GymGame("Corridor-v0", seed=0)
    yield game
    game.close()


def test_an_environment_of_another_package_is_found_by_module_and_id():
    game = make_game(f"gym:{MINIGRID}", Learning(), seed=1)
    try:
        observation = game.reset()
        assert observation.shape == game.observation_shape == (84, 84, 3)
        assert game.action_names[:3] == ("left", "right", "forward")
        turned = game.step(0).observation
        assert (turned != observation).any()
        for action in (1, 2, 2, 1, 2, 2):  # From the corner, facing right, to the goal.
            transition = game.step(action)
        assert transition.terminated
        assert not transition.truncated
        assert 0 < transition.reward <= 1
    finally:
        game.close()


def test_a_time_limit_truncates_an_environment():
    game = make_game(f"gym:{MINIGRID}", Learning(), seed=1)
    try:
        game.reset()
        transitions = [game.step(0)]
        while not (transitions[-1].truncated or transitions[-1].terminated):
            transitions.append(game.step(0))
        assert transitions[-1].truncated
        assert not transitions[-1].terminated
    finally:
        game.close()


def test_an_environment_of_gymnasium_plays():
    pytest.importorskip("pygame")
    game = make_game("gym:CartPole-v1", Learning(), seed=1)
    try:
        game.reset()
        assert game.action_names == ("action 0", "action 1")
        assert game.source_size == (600, 400)
        assert game.step(1).reward == 1
    finally:
        game.close()


def test_actions_count_from_zero_and_take_names_from_the_environment(corridor: GymGame):
    assert corridor.action_names == ("go", "stop", "stay")
    corridor.reset()
    assert (corridor.step(0).observation == 40).all()
    assert (corridor.step(2).observation == 40).all()


def test_an_end_with_both_flags_is_a_termination(corridor: GymGame):
    corridor.reset()
    transition = corridor.step(1)
    assert transition.terminated
    assert not transition.truncated
    with pytest.raises(GameError, match="reset"):
        corridor.step(0)


def test_a_new_render_size_takes_effect_at_the_next_episode(corridor: GymGame):
    corridor.reset()
    corridor.set_render_size((320, 240))
    frames: list[Frame] = []
    corridor.step(0, frames.append)
    assert corridor.source_size == (160, 90)
    assert frames[-1].pixels.shape == (90, 160, 3)
    corridor.reset()
    corridor.step(0, frames.append)
    assert corridor.source_size == (320, 240)
    assert frames[-1].pixels.shape == corridor.frame().pixels.shape == (240, 320, 3)
    assert len(frames) == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "TextCommands-v0",
            r"has the action space Text\(.*Discrete, MultiDiscrete, MultiBinary or floating",
        ),
        ("Unrendered-v0", "does not support render_mode='rgb_array'"),
        ("Broken-v0", "FileNotFoundError: corridor.rom"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_mode.*")
def test_an_unplayable_environment_is_rejected_with_a_reason(name: str, reason: str):
    with pytest.raises(GameError, match=reason):
        GymGame(name, seed=0)
    with pytest.raises(GameError, match=reason):
        describe_game(f"gym:{name}", Learning())


def test_an_environment_that_renders_nothing_is_rejected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Corridor, "render", lambda self: None)
    with pytest.raises(GameError, match="does not render"):
        GymGame("Corridor-v0", seed=0)


def test_the_description_matches_the_game(corridor: GymGame):
    assert describe_gym("Corridor-v0") == corridor.description


def test_a_closed_game_is_an_error(corridor: GymGame):
    corridor.close()
    corridor.close()
    with pytest.raises(GameError, match="closed"):
        corridor.reset()


def test_a_vector_is_observed_unchanged_if_requested():
    game = make_game("gym:VectorCorridor-v0", Learning(observation="vector"), seed=0)
    try:
        assert game.observation_shape == (2,)
        assert game.description == describe_game(
            "gym:VectorCorridor-v0", Learning(observation="vector")
        )
        first = game.reset()
        assert first.dtype == np.float32
        assert first.tolist() == [0, -1]
        assert game.step(0).observation.tolist() == [1, -1]
        assert first.tolist() == [0, -1]
    finally:
        game.close()


def test_a_game_observed_as_a_vector_is_rendered_only_for_viewers():
    game = GymGame("VectorCorridor-v0", seed=0, spec=None)
    rendered = VectorCorridor.rendered
    game.reset()
    game.step(0)
    assert VectorCorridor.rendered == rendered
    assert (game.frame().pixels == 40).all()
    assert game.frame() is game.frame()
    game.step(2, lambda frame: None)
    assert VectorCorridor.rendered == rendered + 2
    game.close()


def test_a_non_finite_observation_is_a_game_error():
    game = GymGame("VectorCorridor-v0", seed=0, spec=None)
    game.reset()
    with pytest.raises(GameError, match=r"gym:VectorCorridor-v0 failed.*not finite"):
        for _ in range(3):
            game.step(0)
    with pytest.raises(GameError, match="reset"):
        game.step(0)
    game.close()


def test_a_non_finite_reward_is_a_game_error(
    monkeypatch: pytest.MonkeyPatch,
):
    game = GymGame("VectorCorridor-v0", seed=0, spec=None)
    game.reset()
    step = VectorCorridor.step
    monkeypatch.setattr(
        VectorCorridor,
        "step",
        lambda self, action: (step(self, action)[0], float("nan"), False, False, {}),
    )
    with pytest.raises(GameError, match=r"gym:VectorCorridor-v0 failed: its reward is nan"):
        game.step(0)
    game.close()


def test_a_game_without_vector_observations_rejects_a_vector_spec():
    with pytest.raises(GameError, match=r"Discrete\(10\), which is not a vector .* 'pixels'"):
        GymGame("Corridor-v0", seed=0, spec=None)


def test_an_environment_with_continuous_actions_plays():
    game = make_game("gym:Pendulum-v1", Learning(observation="vector"), seed=1)
    try:
        game.reset()
        assert game.description.action_kind is ActionKind.CONTINUOUS
        assert game.action_names == ("axis 0",)
        still, pushed = game.step(np.zeros(1, np.float32)), game.step(np.ones(1, np.float32))
        assert still.observation.shape == pushed.observation.shape == (3,)
        assert pushed.reward < 0
    finally:
        game.close()


def actions_of(space: gymnasium.Space[Any]) -> Actions:
    environment: gymnasium.Env[Any, Any] = gymnasium.Env()
    environment.action_space = space
    return make_actions("gym:Made-v0", environment)


def test_discrete_actions_are_offset_by_the_start_of_the_space():
    actions = actions_of(spaces.Discrete(3, start=-1))
    assert actions.kind is ActionKind.DISCRETE
    assert actions.names == ("action 0", "action 1", "action 2")
    assert [actions.to_env(action) for action in range(3)] == [-1, 0, 1]


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
def test_an_unsupported_action_space_is_rejected_by_name(space: gymnasium.Space[Any]):
    with pytest.raises(GameError) as caught:
        actions_of(space)
    assert str(space) in str(caught.value)
    assert "MultiDiscrete" in str(caught.value)


def test_a_vector_observation_has_a_length():
    assert vector_length("gym:Made-v0", spaces.Box(-1, 1, (17,))) == 17


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(3), spaces.Box(-1, 1, (2, 2)), spaces.Box(-1, 1, (5000,))],
)
def test_a_space_that_is_not_a_vector_is_rejected(space: gymnasium.Space[Any]):
    with pytest.raises(GameError, match=r"learning\.observation to 'pixels'"):
        vector_length("gym:Made-v0", space)
