"""Actors: sampling, weights and recurrent state."""

import math
import threading

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metabonk.errors import PolicyError
from metabonk.games import Observation
from metabonk.policy import Actor, ActorCritic, Decision, encode_weights
from metabonk.policy.device_observation import DeviceObservation
from metabonk.policy.network import Output
from tests.support.specs import CONTINUOUS, MULTI_DISCRETE, OTHER_GAME, RECURRENT, TINY, VECTOR

RANDOM = np.random.default_rng(0)
IMAGE: NDArray[np.uint8] = RANDOM.integers(0, 256, TINY.observation_shape, np.uint8)


def weights_with_logits(*logits: float) -> bytes:
    """Return weights, version 7, of a policy with these logits for every observation."""
    network = ActorCritic(TINY)
    with torch.no_grad():
        network.policy_head.weight.zero_()
        network.policy_head.bias.copy_(torch.tensor(logits))
        network.value_head.weight.zero_()
        network.value_head.bias.fill_(0.5)
    network.set_return_scale(100.0)
    return encode_weights(network, 7)


def act(actor: Actor, game: int = 0) -> Decision:
    (decision,) = actor.act([IMAGE], [game])
    return decision


def test_the_same_seed_yields_the_same_actions():
    def actions(seed: int) -> list[int]:
        actor = Actor(TINY, seed=seed)
        return [act(actor).action for _ in range(50)]

    assert actions(1) == actions(1)
    assert actions(1) != actions(2)


def test_an_actor_does_not_touch_the_global_random_generator():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    Actor(TINY, seed=1)
    assert torch.rand(1) == expected


def test_actions_are_sampled_with_the_policys_probabilities():
    actor = Actor(TINY, seed=1)
    actor.load(weights_with_logits(math.log(0.2), math.log(0.7), math.log(0.1)))
    chosen = np.bincount([act(actor).action for _ in range(2000)], minlength=3)
    assert chosen / 2000 == pytest.approx([0.2, 0.7, 0.1], abs=0.04)


def test_a_decision_carries_probabilities_and_value():
    actor = Actor(TINY, seed=1)
    actor.load(weights_with_logits(0.0, math.log(8.0), 0.0))
    decision = act(actor)
    assert decision.probabilities.tolist() == pytest.approx([0.1, 0.8, 0.1])
    assert decision.log_prob == pytest.approx(math.log(decision.probabilities[decision.action]))
    assert decision.value == pytest.approx(50.0)


def test_an_observation_on_the_device_yields_the_same_decisions():
    def decide(observation: Observation) -> list[Decision]:
        return Actor(TINY, seed=1).act([observation, IMAGE], [0, 1])

    on_device = DeviceObservation(torch.from_numpy(IMAGE))
    for host, device in zip(decide(IMAGE), decide(on_device), strict=True):
        assert host.action == device.action
        assert host.value == device.value


def test_decisions_carry_the_version_of_the_loaded_weights():
    actor = Actor(TINY)
    assert actor.version == act(actor).version == 0
    actor.load(weights_with_logits(0, 0, 0))
    assert actor.version == act(actor).version == 7


def test_a_decision_is_of_one_version_however_many_are_loaded_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
):
    actor = Actor(TINY, seed=1)
    actor.load(weights_with_logits(50.0, 0.0, 0.0))
    newer = encode_weights(ActorCritic(TINY), 8)
    forward = ActorCritic.forward

    def load_meanwhile(network: ActorCritic, *inputs: torch.Tensor) -> Output:
        for _ in range(2):
            actor.load(newer)
        output = forward(network, *inputs)
        for _ in range(2):
            actor.load(newer)
        return output

    monkeypatch.setattr(ActorCritic, "forward", load_meanwhile)
    decision = act(actor)
    assert decision.probabilities[0] > 0.99
    assert decision.value == pytest.approx(50.0)
    assert decision.version == 7
    assert actor.version == 8


def test_weights_of_another_game_are_rejected_and_the_old_ones_stay():
    actor = Actor(TINY, seed=1)
    before = act(actor)
    with pytest.raises(PolicyError, match="doom:take_cover"):
        actor.load(encode_weights(ActorCritic(OTHER_GAME), 9))
    assert actor.version == 0
    assert act(actor).value == before.value


def test_a_batch_of_games_gets_the_same_decisions_as_each_game_alone():
    together, alone = Actor(TINY, seed=1), Actor(TINY, seed=1)
    images = RANDOM.integers(0, 256, (3, *TINY.observation_shape), np.uint8)
    games = [4, 0, 9]
    for _ in range(5):
        batch = together.act(list(images), games)
        single = [alone.act([images[row]], [game])[0] for row, game in enumerate(games)]
        assert [d.action for d in batch] == [d.action for d in single]
        assert [d.value for d in batch] == pytest.approx([d.value for d in single], rel=1e-4)


def test_each_game_has_its_own_random_generator():
    actor = Actor(TINY, seed=1)
    first, second = ([act(actor, game).action for _ in range(50)] for game in (0, 1))
    assert first != second


def test_a_greedy_actor_takes_the_most_probable_action():
    actor = Actor(TINY, seed=1, greedy=True)
    actor.load(weights_with_logits(0.0, 0.3, 0.1))
    assert {act(actor).action for _ in range(20)} == {1}


def test_weights_can_be_loaded_while_another_thread_acts():
    actor = Actor(TINY, seed=1)
    weights = [weights_with_logits(5.0, 0.0, 0.0), weights_with_logits(0.0, 5.0, 0.0)]
    stop = threading.Event()
    sampled: list[NDArray[np.float32]] = []

    def keep_acting() -> None:
        while not stop.is_set():
            sampled.append(act(actor, 1).probabilities)

    actor.load(weights[0])
    thread = threading.Thread(target=keep_acting)
    thread.start()
    for count in range(100):
        actor.load(weights[count % 2])
        act(actor)
    stop.set()
    thread.join()
    assert len(sampled) > 10
    assert all(max(probabilities[:2]) > 0.9 for probabilities in sampled)


ROW: NDArray[np.float32] = RANDOM.normal(size=4).astype(np.float32)


def test_each_game_keeps_its_own_recurrent_state_until_it_is_reset():
    actor, alone = Actor(RECURRENT, seed=1), Actor(RECURRENT, seed=1)
    actor.act([ROW, -ROW], [0, 5])
    actor.act([ROW], [5])
    alone.act([ROW], [0])
    (expected,) = alone.act([ROW], [0])
    (decision,) = actor.act([ROW], [0])
    assert decision.memory is not None
    assert decision.memory.any()
    assert decision.memory == pytest.approx(expected.memory, abs=1e-6)
    assert decision.value == pytest.approx(expected.value, abs=1e-5)
    actor.reset_state(0)
    (after,) = actor.act([ROW], [0])
    assert after.memory is not None
    assert not after.memory.any()
    (other,) = actor.act([ROW], [5])
    assert other.memory is not None
    assert other.memory.any()


def test_recurrent_state_survives_new_weights():
    actor = Actor(RECURRENT, seed=1)
    actor.act([ROW], [0])
    actor.load(encode_weights(ActorCritic(RECURRENT), 4))
    (decision,) = actor.act([ROW], [0])
    assert decision.memory is not None
    assert decision.memory.any()


def test_a_feed_forward_policy_has_no_recurrent_state():
    assert Actor(VECTOR).act([ROW], [0])[0].memory is None


def test_multi_discrete_actions_are_arrays_of_indices():
    actor = Actor(MULTI_DISCRETE, seed=1)
    decisions = actor.act([ROW] * 200, list(range(200)))
    actions = np.array([decision.action for decision in decisions])
    assert actions.dtype == np.int64
    assert {*map(tuple, actions.tolist())} == {(a, b) for a in range(3) for b in range(2)}
    for decision in decisions:
        first, second = decision.probabilities[:3], decision.probabilities[3:]
        expected = math.log(first[decision.action[0]] * second[decision.action[1]])
        assert decision.log_prob == pytest.approx(expected, abs=1e-5)


def test_continuous_actions_are_float_arrays_with_a_density():
    actor = Actor(CONTINUOUS, seed=1)
    decision = actor.act([ROW], [0])[0]
    assert decision.action.shape == (2,)
    assert decision.action.dtype == np.float32
    assert decision.probabilities.shape == (0,)
    greedy = Actor(CONTINUOUS, seed=1, greedy=True).act([ROW], [0])[0]
    assert greedy.log_prob > decision.log_prob
