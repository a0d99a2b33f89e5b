"""Saliency maps, checked against a network that depends on one region."""

from typing import Any

import numpy as np
import pytest
import torch

from metabonk.policy import Actor, ActorCritic, PolicySpec, encode_weights
from tests.support.specs import VECTOR

SPEC = PolicySpec(game="g", observation_shape=(72, 128, 3), action_names=("a", "b", "c"))
RECURRENT = SPEC.model_copy(update={"memory": 256})
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, SPEC.observation_shape, np.uint8)


def actor_depending_on(column: int, row: int) -> Actor:
    """Return an actor whose heads see only one cell of the last convolution."""
    network = ActorCritic(SPEC)
    layers = list(network.encoder)
    linear = next(layer for layer in layers if isinstance(layer, torch.nn.Linear))
    mask = torch.zeros(64, 3, 6)
    mask[:, row, column] = 1
    with torch.no_grad():
        linear.weight *= mask.flatten()
        torch.nn.init.orthogonal_(network.policy_head.weight, 1.0)
    actor = Actor(SPEC, device=torch.device("cpu"))
    actor.load(encode_weights(network, 1))
    return actor


@pytest.mark.parametrize("column", [0, 5])
def test_the_region_the_network_depends_on_is_salient(column: int):
    actor = actor_depending_on(column, 1)
    (decision,) = actor.act([IMAGE], [0])
    cells = actor.saliency(IMAGE, decision)
    assert cells.shape == (9, 16)
    assert cells.dtype == np.uint8
    assert cells.max() == 255
    left, right = cells[:, :8].sum(), cells[:, 8:].sum()
    assert (left > 10 * right) if column == 0 else (right > 10 * left)


def test_a_uniform_image_has_no_salient_region():
    plain = np.full(SPEC.observation_shape, 90, np.uint8)
    actor = actor_depending_on(2, 1)
    (decision,) = actor.act([plain], [0])
    assert actor.saliency(plain, decision).max() == 0


def test_the_recurrent_state_is_taken_into_account():
    actor = Actor(RECURRENT, device=torch.device("cpu"))
    actor.act([IMAGE], [0])
    (decision,) = actor.act([IMAGE], [0])
    assert actor.saliency(IMAGE, decision).max() == 255


def test_vector_policies_do_not_observe_images():
    assert Actor(SPEC).observes_images
    assert not Actor(VECTOR).observes_images


def test_weights_loaded_during_a_map_do_not_change_it(monkeypatch: pytest.MonkeyPatch):
    actor = actor_depending_on(0, 1)
    (decision,) = actor.act([IMAGE], [0])
    expected = actor.saliency(IMAGE, decision)
    newer = encode_weights(ActorCritic(SPEC), 2)
    grad = torch.autograd.grad

    def load_meanwhile(*arguments: Any) -> Any:
        actor.load(newer)
        actor.load(newer)
        return grad(*arguments)

    monkeypatch.setattr(torch.autograd, "grad", load_meanwhile)
    assert (actor.saliency(IMAGE, decision) == expected).all()
    monkeypatch.undo()
    assert not (actor.saliency(IMAGE, decision) == expected).all()
