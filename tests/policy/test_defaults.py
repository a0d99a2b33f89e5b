"""Defaults of learning by kind of game."""

import pytest

from metabonk.games import ActionKind, GameDescription
from metabonk.policy.defaults import (
    DEFAULTS,
    TUNED,
    GameKind,
    describe_defaults,
    kind_of,
    with_defaults,
)
from metabonk.settings.learning import Learning

CART_POLE = GameDescription("gym:CartPole-v1", (4,), ("left", "right"))
PENDULUM = GameDescription("gym:Pendulum-v1", (3,), ("torque",), action_kind=ActionKind.CONTINUOUS)
RACING = GameDescription(
    "gym:CarRacing-v3", (96, 96, 12), ("steer",), action_kind=ActionKind.CONTINUOUS
)
PONG = GameDescription("gym:ale_py:ALE/Pong-v5", (84, 84, 4), ("up", "down"))
DOOM = GameDescription("doom:basic", (72, 128, 3), ("left", "right"))


@pytest.mark.parametrize(
    ("game", "kind"),
    [
        (CART_POLE, GameKind.VECTOR),
        (PENDULUM, GameKind.VECTOR_CONTINUOUS),
        (RACING, GameKind.IMAGES_CONTINUOUS),
        (PONG, GameKind.ATARI),
        (DOOM, GameKind.DOOM),
        (GameDescription("gym:My-v0", (84, 84, 4), ("a", "b")), GameKind.IMAGES),
        (GameDescription("gym:ALE/Pong-ram-v5", (128,), ("a", "b")), GameKind.VECTOR),
    ],
)
def test_observations_and_actions_tell_the_kind_of_game(game: GameDescription, kind: GameKind):
    assert kind_of(game) is kind


def test_what_is_unset_gets_the_defaults_of_the_kind():
    learning = with_defaults(Learning(), PENDULUM)
    assert learning.entropy_coefficient == 0
    assert learning.gamma == 0.98
    assert learning.rollout_steps == Learning().rollout_steps


def test_what_is_set_is_kept_even_at_the_default_of_the_schema():
    given = Learning(entropy_coefficient=0.01, batch_size=4096)
    learning = with_defaults(given, PENDULUM)
    assert (learning.entropy_coefficient, learning.batch_size) == (0.01, 4096)
    assert learning.gamma == 0.98


def test_doom_learns_with_the_defaults_of_the_schema():
    assert with_defaults(Learning(), DOOM) == Learning()


def test_all_settings_count_as_set_afterwards():
    learning = with_defaults(Learning(env_args={"size": 8}), CART_POLE)
    assert learning.model_fields_set == Learning.model_fields.keys()
    assert learning.env_args == {"size": 8}
    assert with_defaults(learning, PENDULUM) == learning


@pytest.mark.parametrize("kind", GameKind)
def test_the_defaults_of_every_kind_are_valid(kind: GameKind):
    learning = Learning.model_validate(DEFAULTS[kind])
    assert learning.model_fields_set == DEFAULTS[kind].keys() <= set(TUNED)


def test_the_line_about_defaults_names_the_kind_and_what_was_unset():
    line = describe_defaults(Learning(gamma=0.9), PENDULUM)
    assert line.startswith(
        "learning defaults for vector observations and continuous actions: rollout_steps 32, "
    )
    assert "entropy_coefficient 0.0" in line
    assert "gamma" not in line
    everything = with_defaults(Learning(), PENDULUM)
    assert describe_defaults(everything, PENDULUM).endswith("none, since all are set")
