"""What a policy sees and can do."""

import pytest
from pydantic import ValidationError

from metabonk.games import GameDescription
from metabonk.policy import PolicySpec
from metabonk.settings.schema import NetworkKind

SPEC = PolicySpec(game="doom:basic", observation_shape=(3, 72, 128), action_names=("wait", "go"))


def test_a_spec_is_made_from_a_description():
    description = GameDescription("doom:basic", (3, 72, 128), ("wait", "go"))
    assert PolicySpec.of(description) == SPEC
    assert SPEC.actions == 2


def test_equal_specs_have_no_difference():
    assert SPEC.difference(SPEC.model_copy()) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"game": "doom:take_cover"}, ["doom:take_cover", "doom:basic"]),
        ({"observation_shape": (1, 84, 84)}, ["1×84×84", "3×72×128"]),
        ({"action_names": ("wait",)}, ["1 actions (wait)", "2 of doom:basic", "wait, go"]),
    ],
)
def test_a_difference_names_both_sides(change: dict[str, object], words: list[str]):
    difference = SPEC.difference(SPEC.model_copy(update=change))
    assert difference is not None
    assert all(word in difference for word in words)


@pytest.mark.parametrize(
    "change",
    [
        {"game": ""},
        {"observation_shape": (3, 0, 128)},
        {"observation_shape": (3, 72)},
        {"observation_shape": (3, 72, 1_000_000)},
        {"action_names": ()},
        {"extra": 1},
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(change: dict[str, object]):
    with pytest.raises(ValidationError):
        PolicySpec.model_validate({**SPEC.model_dump(), **change})


def test_another_kind_of_network_does_not_fit():
    other = SPEC.model_copy(update={"network": NetworkKind.NATURE})
    assert "nature" in (SPEC.difference(other) or "")
    assert "small" in (SPEC.difference(other) or "")
