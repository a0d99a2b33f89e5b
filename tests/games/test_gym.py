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
    """Counts to five. Action 3 is one forward, 4 ends; both at once say both flags."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = spaces.Discrete(10)
    action_space = spaces.Discrete(3, start=3)

    def __init__(self, render_mode: str | None = None, picture: str = "good") -> None:
        self.render_mode = render_mode
        self.picture = picture
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
        if self.picture == "none":
            return None
        return np.full((90, 160, 3), 40 * self.at, np.uint8)

    def get_action_meanings(self) -> list[str]:
        return ["GO", "STOP", "STAY"]


class Words(Corridor):
    """Wants to be talked to."""

    action_space = spaces.Text(8)  # type: ignore[assignment]


class Numbers(Corridor):
    """Says where it is as a row of numbers, and counts how often it is drawn."""

    observation_space = spaces.Box(-1, 9, (2,), np.float64)  # type: ignore[assignment]
    drawn = 0

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
        Numbers.drawn += 1
        return super().render()


class Blind(Corridor):
    """Renders nothing."""

    metadata = {"render_modes": []}  # noqa: RUF012


class Broken(Corridor):
    """Can't be made."""

    def __init__(self, render_mode: str | None = None) -> None:
        raise FileNotFoundError("corridor.rom")


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    names = {
        "Corridor-v0": Corridor,
        "Blind-v0": Blind,
        "Broken-v0": Broken,
        "Numbers-v0": Numbers,
        "Words-v0": Words,
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


def test_an_environment_of_another_package_plays_by_its_module_and_id():
    game = make_game(f"gym:{MINIGRID}", Learning(), seed=1)
    try:
        observation = game.reset()
        assert observation.shape == game.observation_shape == (84, 84, 3)
        assert game.action_names[:3] == ("left", "right", "forward")
        turned = game.step(0).observation
        assert (turned != observation).any()
        for action in (1, 2, 2, 1, 2, 2):  # From the corner, facing right, to the goal.
            moved = game.step(action)
        assert moved.terminated
        assert not moved.truncated
        assert 0 < moved.reward <= 1
    finally:
        game.close()


def test_an_environment_with_a_time_limit_is_truncated():
    game = make_game(f"gym:{MINIGRID}", Learning(), seed=1)
    try:
        game.reset()
        moves = [game.step(0)]
        while not (moves[-1].truncated or moves[-1].terminated):
            moves.append(game.step(0))
        assert moves[-1].truncated
        assert not moves[-1].terminated
    finally:
        game.close()


def test_an_environment_of_gymnasium_itself_plays():
    pytest.importorskip("pygame")
    game = make_game("gym:CartPole-v1", Learning(), seed=1)
    try:
        game.reset()
        assert game.action_names == ("action 0", "action 1")
        assert game.source_size == (600, 400)
        assert game.step(1).reward == 1
    finally:
        game.close()


def test_actions_count_from_zero_and_have_the_names_the_environment_gives(corridor: GymGame):
    assert corridor.action_names == ("go", "stop", "stay")
    corridor.reset()
    assert (corridor.step(0).observation == 40).all()
    assert (corridor.step(2).observation == 40).all()


def test_an_end_that_is_both_is_a_termination(corridor: GymGame):
    corridor.reset()
    moved = corridor.step(1)
    assert moved.terminated
    assert not moved.truncated
    with pytest.raises(GameError, match="reset"):
        corridor.step(0)


def test_spectators_get_every_step_at_their_size_from_the_next_episode_on(corridor: GymGame):
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
    ("name", "why"),
    [
        ("Words-v0", r"has the action space Text\(.*Discrete, MultiDiscrete, MultiBinary or floating"),
        ("Blind-v0", "does not render rgb_array"),
        ("Broken-v0", "FileNotFoundError: corridor.rom"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_mode.*")
def test_what_cannot_be_played_is_refused_in_a_sentence(name: str, why: str):
    with pytest.raises(GameError, match=why):
        GymGame(name, seed=0)
    with pytest.raises(GameError, match=why):
        describe_game(f"gym:{name}", Learning())


def test_an_environment_that_draws_nothing_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Corridor, "render", lambda self: None)
    with pytest.raises(GameError, match="does not render"):
        GymGame("Corridor-v0", seed=0)


def test_it_is_described_as_it_plays(corridor: GymGame):
    assert describe_gym("Corridor-v0") == corridor.description


def test_a_closed_game_says_so(corridor: GymGame):
    corridor.close()
    corridor.close()
    with pytest.raises(GameError, match="closed"):
        corridor.reset()


def test_a_row_of_numbers_is_seen_as_it_is_where_that_is_asked_for():
    game = make_game("gym:Numbers-v0", Learning(observation="vector"), seed=0)
    try:
        assert game.observation_shape == (2,)
        assert game.description == describe_game("gym:Numbers-v0", Learning(observation="vector"))
        first = game.reset()
        assert first.dtype == np.float32
        assert first.tolist() == [0, -1]
        assert game.step(0).observation.tolist() == [1, -1]
        assert first.tolist() == [0, -1]
    finally:
        game.close()


def test_a_game_seen_as_numbers_is_drawn_only_for_who_watches():
    game = GymGame("Numbers-v0", seed=0, spec=None)
    drawn = Numbers.drawn
    game.reset()
    game.step(0)
    assert Numbers.drawn == drawn
    assert (game.frame().pixels == 40).all()
    assert game.frame() is game.frame()
    game.step(2, lambda frame: None)
    assert Numbers.drawn == drawn + 2
    game.close()


def test_numbers_that_are_none_break_the_game_in_a_sentence():
    game = GymGame("Numbers-v0", seed=0, spec=None)
    game.reset()
    with pytest.raises(GameError, match=r"gym:Numbers-v0 failed.*not finite"):
        for _ in range(3):
            game.step(0)
    with pytest.raises(GameError, match="reset"):
        game.step(0)
    game.close()


def test_a_reward_that_is_no_number_breaks_the_game_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
):
    game = GymGame("Numbers-v0", seed=0, spec=None)
    game.reset()
    step = Numbers.step
    monkeypatch.setattr(
        Numbers,
        "step",
        lambda self, action: (step(self, action)[0], float("nan"), False, False, {}),
    )
    with pytest.raises(GameError, match=r"gym:Numbers-v0 failed: its reward is nan"):
        game.step(0)
    game.close()


def test_what_is_no_row_of_numbers_is_refused_as_one():
    with pytest.raises(GameError, match=r"Discrete\(10\), not a row .* 'pixels'"):
        GymGame("Corridor-v0", seed=0, spec=None)


def test_an_environment_with_axes_plays():
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


def test_discrete_actions_count_from_where_the_space_begins():
    actions = actions_of(spaces.Discrete(3, start=-1))
    assert actions.kind is ActionKind.DISCRETE
    assert actions.names == ("action 0", "action 1", "action 2")
    assert [actions.to_env(action) for action in range(3)] == [-1, 0, 1]


def test_several_choices_keep_their_sizes_their_shape_and_their_beginnings():
    space = spaces.MultiDiscrete(np.array([[2, 3]]), start=np.array([[5, 0]]))
    actions = actions_of(space)
    assert actions.kind is ActionKind.MULTI_DISCRETE
    assert actions.sizes == (2, 3)
    assert len(actions.names) == len(set(actions.names)) == 5
    taken = actions.to_env(np.array([1, 2]))
    assert taken.tolist() == [[6, 2]]
    assert space.contains(taken)


def test_switches_are_choices_of_two():
    space = spaces.MultiBinary(3)
    actions = actions_of(space)
    assert actions.sizes == (2, 2, 2)
    assert space.contains(actions.to_env(np.array([1, 0, 1])))


def test_an_axis_reaches_from_end_to_end_and_no_further():
    low, high = np.array([[-2, 0], [2, 10]], np.float32)
    space = spaces.Box(low, high)
    actions = actions_of(space)
    assert actions.kind is ActionKind.CONTINUOUS
    assert len(actions.names) == 2
    for action, expected in [((-1, -1), [-2, 0]), ((0.5, 0), [1, 5]), ((9, 1.5), [2, 10])]:
        taken = actions.to_env(np.array(action, np.float32))
        assert taken.tolist() == expected
        assert space.contains(taken)


def test_an_axis_without_ends_is_taken_as_it_is():
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
