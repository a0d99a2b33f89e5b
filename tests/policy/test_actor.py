"""Acting."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metabonk.errors import PolicyError
from metabonk.policy import Actor, ActorCritic, encode_weights
from tests.policy.specs import OTHER, TINY

RANDOM = np.random.default_rng(0)
PICTURE: NDArray[np.uint8] = RANDOM.integers(0, 256, TINY.observation_shape, np.uint8)


def biased(*logits: float) -> bytes:
    """Weights of a policy that chooses by these logits, whatever it sees; version 7."""
    network = ActorCritic(TINY)
    with torch.no_grad():
        network.policy_head.weight.zero_()
        network.policy_head.bias.copy_(torch.tensor(logits))
        network.value_head.weight.zero_()
        network.value_head.bias.fill_(0.5)
    network.set_return_scale(100.0)
    return encode_weights(network, 7)


def test_the_same_seed_makes_the_same_choices():
    def choices(seed: int) -> list[int]:
        actor = Actor(TINY, seed=seed)
        return [actor.act(PICTURE).action for _ in range(50)]

    assert choices(1) == choices(1)
    assert choices(1) != choices(2)


def test_making_an_actor_leaves_the_randomness_of_others_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    Actor(TINY, seed=1)
    assert torch.rand(1) == expected


def test_actions_are_chosen_as_often_as_the_policy_says():
    actor = Actor(TINY, seed=1)
    actor.load(biased(math.log(0.2), math.log(0.7), math.log(0.1)))
    chosen = np.bincount([actor.act(PICTURE).action for _ in range(2000)], minlength=3)
    assert chosen / 2000 == pytest.approx([0.2, 0.7, 0.1], abs=0.04)


def test_a_decision_says_what_the_policy_thought():
    actor = Actor(TINY, seed=1)
    actor.load(biased(0.0, math.log(8.0), 0.0))
    decision = actor.act(PICTURE)
    assert decision.probabilities.tolist() == pytest.approx([0.1, 0.8, 0.1])
    assert decision.log_prob == pytest.approx(math.log(decision.probabilities[decision.action]))
    assert decision.value == pytest.approx(50.0)


def test_loaded_weights_bring_their_version():
    actor = Actor(TINY)
    assert actor.version == 0
    actor.load(biased(0, 0, 0))
    assert actor.version == 7


def test_weights_of_another_game_are_refused_and_play_goes_on():
    actor = Actor(TINY, seed=1)
    before = actor.act(PICTURE)
    with pytest.raises(PolicyError, match="doom:take_cover"):
        actor.load(encode_weights(ActorCritic(OTHER), 9))
    assert actor.version == 0
    assert actor.act(PICTURE).value == before.value
