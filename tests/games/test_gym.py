"""Gymnasium environments as games."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from metabonk.errors import GameError, GameStartError
from metabonk.frame import Frame
from metabonk.games import ActionKind, describe_game, make_game
from metabonk.games.gym import GymGame, View, describe_gym
from metabonk.settings.learning import Learning
from tests.support.frames import drawing_into

FRAMES = View("pixels", frame_stack=1)
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


class Remembering(Corridor):
    """Pays for its episodes so far, whatever their seeds, and says what must be carried over."""

    episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.episodes += 1
        return super().reset(seed=seed, options=options)

    def step(self, action: int) -> Any:
        at, _, *rest = super().step(action)
        return at, float(self.episodes), *rest

    def get_carried_state(self) -> bytes:
        return self.episodes.to_bytes(1, "big")

    def set_carried_state(self, state: bytes) -> None:
        self.episodes = int.from_bytes(state, "big")


class Unrendered(Corridor):
    """Renders no arrays."""

    metadata = {"render_modes": ["human"]}  # noqa: RUF012


class Broken(Corridor):
    """Fails on construction."""

    def __init__(self, render_mode: str | None = None) -> None:
        raise FileNotFoundError("corridor.rom")


class Raising(VectorCorridor):
    """Raises an exception of its own after two steps."""

    class LostError(Exception):
        pass

    def step(self, action: int) -> Any:
        if self.at >= 2:
            raise self.LostError("no way out")
        own, reward, *rest = super().step(action)
        return own, np.array([reward]), *rest


class NoDisplay(VectorCorridor):
    """Can't render."""

    def render(self) -> Any:
        raise RuntimeError("an OpenGL platform library has not been loaded")


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    names = {
        "Corridor-v0": Corridor,
        "Remembering-v0": Remembering,
        "Unrendered-v0": Unrendered,
        "Broken-v0": Broken,
        "VectorCorridor-v0": VectorCorridor,
        "TextCommands-v0": TextCommands,
        "Raising-v0": Raising,
        "NoDisplay-v0": NoDisplay,
    }
    for name, kind in names.items():
        gymnasium.register(name, kind, disable_env_checker=True)
    yield
    for name in names:
        del gymnasium.registry[name]


@pytest.fixture
def corridor() -> Iterator[GymGame]:
    game = GymGame("Corridor-v0", view=FRAMES)
    yield game
    game.close()


def test_an_environment_of_another_package_is_found_by_module_and_id():
    pixels = Learning(observation="pixels", frame_stack=1)
    game = make_game(f"gym:{MINIGRID}", pixels)
    try:
        observation = game.reset(1)
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
    game = make_game(f"gym:{MINIGRID}", Learning())
    try:
        game.reset(1)
        transitions = [game.step(0)]
        while not (transitions[-1].truncated or transitions[-1].terminated):
            transitions.append(game.step(0))
        assert transitions[-1].truncated
        assert not transitions[-1].terminated
    finally:
        game.close()


def test_an_environment_of_gymnasium_plays():
    pytest.importorskip("pygame")
    game = make_game("gym:CartPole-v1", Learning())
    try:
        game.reset(1)
        assert game.action_names == ("action 0", "action 1")
        assert game.source_size == (600, 400)
        assert game.step(1).reward == 1
    finally:
        game.close()


def test_every_episode_is_determined_by_its_seed_alone():
    game = make_game("gym:CartPole-v1", Learning())
    try:
        first, other = np.array(game.reset(5)), np.array(game.reset(2**31 - 1))
        game.step(0)
        assert (np.asarray(game.reset(5)) == first).all()
        assert (other != first).any()
    finally:
        game.close()


def test_actions_count_from_zero_and_take_names_from_the_environment(corridor: GymGame):
    assert corridor.action_names == ("go", "stop", "stay")
    corridor.reset(1)
    assert (corridor.step(0).observation == 40).all()
    assert (corridor.step(2).observation == 40).all()


def test_an_end_with_both_flags_is_a_termination(corridor: GymGame):
    corridor.reset(1)
    transition = corridor.step(1)
    assert transition.terminated
    assert not transition.truncated
    with pytest.raises(GameError, match="reset"):
        corridor.step(0)


def test_a_new_render_size_takes_effect_at_the_next_episode(corridor: GymGame):
    corridor.reset(1)
    corridor.set_render_size((320, 240))
    frames: list[Frame] = []
    corridor.step(0, drawing_into(frames))
    assert corridor.source_size == (160, 90)
    assert frames[-1].pixels.shape == (90, 160, 3)
    corridor.reset(1)
    corridor.step(0, drawing_into(frames))
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
        ("NoDisplay-v0", "MUJOCO_GL=egl"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_mode.*")
def test_an_unplayable_environment_is_rejected_with_a_reason(name: str, reason: str):
    with pytest.raises(GameStartError, match=reason):
        GymGame(name)


def test_an_environment_that_renders_nothing_is_rejected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Corridor, "render", lambda self: None)
    with pytest.raises(GameStartError, match=r"nothing after reset\(\) and 10 steps"):
        GymGame("Corridor-v0")


def test_the_description_matches_the_game(corridor: GymGame):
    assert describe_gym("Corridor-v0", FRAMES) == corridor.description


@pytest.mark.parametrize(
    ("render_fps", "tics_per_s"),
    [(50, 50.0), (29.97, 29.97), (np.int64(4), 4.0), (240, 240.0)]
    + [(each, 30.0) for each in (None, 0, -5, 0.5, 1000, float("nan"), float("inf"), "50")],
)
def test_the_pace_is_that_of_rendering_if_it_makes_sense(
    render_fps: object, tics_per_s: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(Corridor.metadata, "render_fps", render_fps)
    assert describe_gym("Corridor-v0", FRAMES).tics_per_s == tics_per_s


def test_the_pace_is_thirty_where_the_environment_names_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(Corridor.metadata, "render_fps")
    assert describe_gym("Corridor-v0", FRAMES).tics_per_s == 30


def test_a_closed_game_is_an_error(corridor: GymGame):
    corridor.close()
    corridor.close()
    with pytest.raises(GameError, match="closed"):
        corridor.reset(1)


def test_a_vector_is_observed_unchanged_if_requested():
    game = make_game("gym:VectorCorridor-v0", Learning(observation="vector"))
    try:
        assert game.observation_shape == (2,)
        assert game.description == describe_game(
            "gym:VectorCorridor-v0", Learning(observation="vector")
        )
        first = game.reset(1)
        assert first.dtype == np.float32
        assert first.tolist() == [0, -1]
        assert game.step(0).observation.tolist() == [1, -1]
        assert first.tolist() == [0, -1]
    finally:
        game.close()


def test_a_game_observed_as_a_vector_is_rendered_only_for_viewers():
    game = GymGame("VectorCorridor-v0")
    rendered = VectorCorridor.rendered
    game.reset(1)
    game.step(0)
    assert VectorCorridor.rendered == rendered
    assert (game.frame().pixels == 40).all()
    assert game.frame() is game.frame()
    game.step(2, lambda draw: None)
    assert VectorCorridor.rendered == rendered + 1
    game.step(2, drawing_into([]))
    assert VectorCorridor.rendered == rendered + 2
    game.close()


def test_a_game_that_nobody_sees_is_never_rendered():
    VectorCorridor.rendered = 0
    with contextlib.closing(GymGame("VectorCorridor-v0", view=View("vector"), shown=False)) as game:
        game.reset(0)
        game.step(0)
        assert VectorCorridor.rendered == 0


def test_an_episode_is_repeated_from_what_its_environment_carried_into_it():
    game, other = (GymGame("Remembering-v0", shown=False) for _ in range(2))
    states, rewards = [], []
    for seed in range(3):
        states.append(game.carried_state())
        game.reset(seed)
        rewards.append(game.step(0).reward)
    assert rewards == [1, 2, 3]
    for seed in (2, 0, 1):
        other.restore_carried_state(states[seed])
        other.reset(seed)
        assert other.step(0).reward == rewards[seed]
    with pytest.raises(GameError, match="Remembering-v0 broke: TypeError"):
        other.restore_carried_state(None)  # type: ignore[arg-type]
    game.close()
    other.close()


def test_an_environment_that_carries_nothing_over_takes_no_state(corridor: GymGame):
    assert corridor.carried_state() == b""
    corridor.restore_carried_state(b"")
    with pytest.raises(GameError, match="no use for a carried state of 3 bytes"):
        corridor.restore_carried_state(b"abc")


def test_a_carried_state_that_is_no_bytes_is_a_game_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Remembering, "get_carried_state", lambda self: "3")
    game = GymGame("Remembering-v0", shown=False)
    with pytest.raises(GameError, match=r"get_carried_state\(\) returned str, not bytes"):
        game.carried_state()
    game.close()


def test_a_non_finite_observation_is_a_game_error():
    game = GymGame("VectorCorridor-v0")
    game.reset(1)
    with pytest.raises(GameError, match=r"gym:VectorCorridor-v0 broke.*not finite"):
        for _ in range(3):
            game.step(0)
    with pytest.raises(GameError, match="reset"):
        game.step(0)
    game.close()


def test_a_non_finite_reward_is_a_game_error(
    monkeypatch: pytest.MonkeyPatch,
):
    game = GymGame("VectorCorridor-v0")
    game.reset(1)
    step = VectorCorridor.step
    monkeypatch.setattr(
        VectorCorridor,
        "step",
        lambda self, action: (step(self, action)[0], float("nan"), False, False, {}),
    )
    with pytest.raises(GameError, match=r"gym:VectorCorridor-v0 broke: its reward is nan"):
        game.step(0)
    game.close()


def test_an_environment_with_continuous_actions_plays():
    game = make_game("gym:Pendulum-v1", Learning(observation="vector"))
    try:
        game.reset(1)
        assert game.description.action_kind is ActionKind.CONTINUOUS
        assert game.action_names == ("axis 0",)
        still, pushed = game.step(np.zeros(1, np.float32)), game.step(np.ones(1, np.float32))
        assert still.observation.shape == pushed.observation.shape == (3,)
        assert pushed.reward < 0
    finally:
        game.close()


def test_whatever_an_environment_raises_is_a_game_error():
    game = GymGame("Raising-v0")
    game.reset(1)
    assert game.step(0).reward == 0.5, "an array of one"
    game.step(0)
    with pytest.raises(GameError, match="gym:Raising-v0 broke: LostError: no way out"):
        game.step(0)
    game.close()


def test_single_frames_are_stacked():
    game = GymGame("Corridor-v0", view=View("pixels"))
    assert game.observation_shape == (84, 84, 12)
    first = game.reset(1)
    assert (np.asarray(first) == 0).all()
    for _ in range(2):
        newest = np.asarray(game.step(0).observation)
    assert [newest[0, 0, 3 * n] for n in range(4)] == [0, 0, 40, 80]
    assert (np.asarray(game.reset(1)) == 0).all()
    game.close()


class Late(VectorCorridor):
    """Renders nothing before its first step, then frames of changing sizes; has no infos."""

    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0], None

    def step(self, action: int) -> Any:
        return *super().step(action)[:4], None

    def render(self) -> Any:
        if self.at == 0:
            return None
        return np.full((40 * self.at, 60), self.at / 10)


@pytest.mark.parametrize("view", [FRAMES, View()])
def test_an_environment_may_render_nothing_at_first_and_change_its_size(view: View):
    gymnasium.register("Late-v0", Late)
    try:
        game = GymGame("Late-v0", view=view)
    finally:
        del gymnasium.registry["Late-v0"]
    game.set_render_size((120, 90))
    first, frames = game.reset(1), list[Frame]()
    drawn = [np.asarray(game.step(0, drawing_into(frames)).observation) for _ in range(2)]
    assert [frame.pixels.shape for frame in frames] == [(90, 120, 3), (80, 107, 3)]
    assert [int(frame.pixels.max()) for frame in frames] == [26, 51]
    if view is FRAMES:
        assert {each.shape for each in (first, *drawn)} == {(84, 84, 3)}
        assert [int(each.max()) for each in drawn] == [26, 51]
    game.close()


def test_arguments_reach_the_environment_and_a_wrong_one_is_named():
    learning = Learning(env_args={"is_slippery": False})
    game = make_game("gym:FrozenLake-v1", learning)
    try:
        for seed in range(3):
            game.reset(seed)
            assert np.argmax(np.asarray(game.step(2).observation)) == 1, "no slipping"
    finally:
        game.close()
    with pytest.raises(GameStartError, match="Its constructor takes desc, map_name, is_slippery"):
        describe_game("gym:FrozenLake-v1", Learning(env_args={"slippery": False}))


def test_a_space_that_is_not_observed_is_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    space = spaces.Dict(camera=spaces.Box(0, 255, (96, 96, 3), np.uint8), speed=spaces.Discrete(2))
    gymnasium.register("Pictured-v0", type("Pictured", (Corridor,), {"observation_space": space}))
    try:
        assert describe_gym("Pictured-v0").observation_shape == (84, 84, 12)
    finally:
        del gymnasium.registry["Pictured-v0"]
    assert "sees drawn frames, as it can't observe Dict('camera'" in caplog.text


def test_an_environment_that_breaks_when_it_is_closed_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    game = GymGame("Corridor-v0")
    monkeypatch.setattr(Corridor, "close", lambda self: 1 / 0)
    game.close()
    assert "gym:Corridor-v0 broke in close" in caplog.text
