"""Policy specs."""

import pytest
from pydantic import ValidationError

from metabonk.games import ActionKind, GameDescription
from metabonk.policy import PolicySpec
from metabonk.settings.learning import Learning

SPEC = PolicySpec(game="doom:basic", observation_shape=(72, 128, 3), action_names=("wait", "go"))


def test_a_spec_is_made_from_a_description():
    description = GameDescription("doom:basic", (72, 128, 3), ("wait", "go"))
    assert PolicySpec.of(description) == SPEC
    assert SPEC.actions == 2


def test_settings_choose_the_network_and_its_memory():
    images = GameDescription("g", (84, 84, 3), ("a", "b"))
    vector = GameDescription("g", (4,), ("a", "b"))
    learning = Learning(network="nature", recurrent=True)
    assert PolicySpec.of(images, learning).network == "nature"
    assert PolicySpec.of(images, learning).memory == 512
    assert PolicySpec.of(vector, learning).network == "mlp"
    assert PolicySpec.of(vector).memory == 0


def test_settings_choose_the_layers_of_vectors_alone():
    images = GameDescription("g", (84, 84, 3), ("a", "b"))
    vector = GameDescription("g", (4,), ("a", "b"))
    learning = Learning(mlp_layers=(64, 32))
    assert PolicySpec.of(vector, learning).mlp_layers == (64, 32)
    assert PolicySpec.of(images, learning).mlp_layers == ()
    recurrent = learning.model_copy(update={"recurrent": True})
    assert PolicySpec.of(vector, recurrent).memory == 32


def test_other_layers_are_named_as_the_difference():
    spec = PolicySpec.of(GameDescription("g", (4,), ("a", "b")), Learning(mlp_layers=(64, 64)))
    other = spec.model_copy(update={"mlp_layers": (32,)})
    assert spec.difference(other) == (
        "it has the network mlp of 32 with no recurrent state, but the settings say the network "
        "mlp of 64×64 with no recurrent state; see learning.mlp_layers and learning.recurrent"
    )


def test_equal_specs_have_no_difference():
    assert SPEC.difference(SPEC.model_copy()) is None


@pytest.mark.parametrize(
    ("change", "phrases"),
    [
        ({"game": "doom:take_cover"}, ["doom:take_cover", "doom:basic"]),
        ({"observation_shape": (84, 84, 1)}, ["84×84×1", "72×128×3"]),
        ({"action_names": ("wait",)}, ["1 actions (wait)", "2 of doom:basic", "wait, go"]),
        ({"action_kind": ActionKind.CONTINUOUS}, ["are continuous", "doom:basic are discrete"]),
        (
            {"network": "nature"},
            ["network nature with no recurrent state", "network small", "settings"],
        ),
        ({"memory": 256}, ["a recurrent state of 256", "no recurrent state", "learning.recurrent"]),
    ],
)
def test_a_difference_names_both_sides(change: dict[str, object], phrases: list[str]):
    difference = SPEC.difference(SPEC.model_copy(update=change))
    assert difference is not None
    assert all(phrase in difference for phrase in phrases)


@pytest.mark.parametrize(
    "change",
    [
        {"game": ""},
        {"observation_shape": (72, 0, 3)},
        {"observation_shape": (72, 128)},
        {"observation_shape": (72, 1_000_000, 3)},
        {"action_names": ()},
        {"extra": 1},
        {"network": "mlp"},
        {"observation_shape": (4,)},
        {"network": "transformer"},
        {"action_sizes": (2,)},
        {"action_kind": "multi_discrete"},
        {"action_kind": "multi_discrete", "action_sizes": (2, 2)},
        {"memory": -1},
        {"mlp_layers": (64,)},
        {"network": "mlp", "observation_shape": (4,), "mlp_layers": ()},
    ],
)
def test_an_inconsistent_spec_is_rejected(change: dict[str, object]):
    with pytest.raises(ValidationError):
        PolicySpec.model_validate({**SPEC.model_dump(), **change})
