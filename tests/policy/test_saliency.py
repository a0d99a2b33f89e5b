"""A map of where the network looks, held against a network that looks at one place."""

from typing import Any

import numpy as np
import pytest
import torch

from metabonk.policy import Actor, ActorCritic, PolicySpec, encode_weights
from tests.support.specs import NUMBERS

SPEC = PolicySpec(game="g", observation_shape=(72, 128, 3), action_names=("a", "b", "c"))
REMEMBERING = SPEC.model_copy(update={"memory": 256})
RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, SPEC.observation_shape, np.uint8)


def looking_at(column: int, row: int) -> Actor:
    """Only features of one place of the last convolution reach the heads."""
    network = ActorCritic(SPEC)
    layers = list(network.encoder)
    linear = next(layer for layer in layers if isinstance(layer, torch.nn.Linear))
    kept = torch.zeros(64, 3, 6)
    kept[:, row, column] = 1
    with torch.no_grad():
        linear.weight *= kept.flatten()
        torch.nn.init.orthogonal_(network.policy_head.weight, 1.0)
    actor = Actor(SPEC, device=torch.device("cpu"))
    actor.load(encode_weights(network, 1))
    return actor


@pytest.mark.parametrize("column", [0, 5])
def test_it_shows_where_the_network_looks(column: int):
    actor = looking_at(column, 1)
    (decision,) = actor.act([PICTURE], [0])
    cells = actor.attention(PICTURE, decision)
    assert cells.shape == (9, 16)
    assert cells.dtype == np.uint8
    assert cells.max() == 255
    left, right = cells[:, :8].sum(), cells[:, 8:].sum()
    assert (left > 10 * right) if column == 0 else (right > 10 * left)


def test_a_plain_picture_has_nothing_to_look_at():
    plain = np.full(SPEC.observation_shape, 90, np.uint8)
    actor = looking_at(2, 1)
    (decision,) = actor.act([plain], [0])
    assert actor.attention(plain, decision).max() == 0


def test_what_is_remembered_is_taken_into_account():
    actor = Actor(REMEMBERING, device=torch.device("cpu"))
    actor.act([PICTURE], [0])
    (decision,) = actor.act([PICTURE], [0])
    assert actor.attention(PICTURE, decision).max() == 255


def test_rows_of_numbers_are_no_pictures():
    assert Actor(SPEC).sees_pictures
    assert not Actor(NUMBERS).sees_pictures


def test_weights_that_come_meanwhile_harm_no_map(monkeypatch: pytest.MonkeyPatch):
    actor = looking_at(0, 1)
    (decision,) = actor.act([PICTURE], [0])
    expected = actor.attention(PICTURE, decision)
    newer = encode_weights(ActorCritic(SPEC), 2)
    taken = torch.autograd.grad

    def while_weights_come(*arguments: Any) -> Any:
        actor.load(newer)
        actor.load(newer)
        return taken(*arguments)

    monkeypatch.setattr(torch.autograd, "grad", while_weights_come)
    assert (actor.attention(PICTURE, decision) == expected).all()
    monkeypatch.undo()
    assert not (actor.attention(PICTURE, decision) == expected).all()
