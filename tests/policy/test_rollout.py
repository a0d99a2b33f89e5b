"""Rollouts: building, encoding and validation."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metabonk.errors import WireError
from metabonk.games import FrameSink, Transition
from metabonk.policy import (
    Actor,
    Decision,
    EpisodeEnd,
    PolicySpec,
    Rollout,
    RolloutBuilder,
)
from metabonk.policy.env_runner import EnvRunner
from metabonk.policy.rollout import RolloutHeader
from metabonk.policy.serialization import pack
from tests.support.rollouts import make_rollout
from tests.support.specs import ALL_SPECS, CONTINUOUS, MULTI_DISCRETE, RECURRENT, TINY, VECTOR
from tests.support.worker_stand_ins import DESCRIPTION, SteppingGame, decision

ARRAYS = [
    field.name
    for field in dataclasses.fields(Rollout)
    if field.init and field.name not in ("spec", "episodes")
]

PROBABILITIES = np.full(3, 1 / 3, np.float32)


def image(number: int) -> NDArray[np.uint8]:
    return np.full(TINY.observation_shape, number, np.uint8)


def build(*steps_taken: str, steps: int = 4) -> list[Rollout]:
    """Build rollouts of steps that continue ("."), terminate ("T") or truncate ("C") an episode."""
    builder = RolloutBuilder(TINY, steps)
    rollouts = []
    for number, outcome in enumerate(steps_taken):
        transition = Transition(image(number + 1), float(number), outcome == "T", outcome == "C")
        decision = Decision(number % 3, -0.5, 0.0, PROBABILITIES, version=10 + number)
        end = None if outcome == "." else EpisodeEnd(total_reward=number, length=1)
        if rollout := builder.add(image(number), decision, transition, end):
            rollouts.append(rollout)
    return rollouts


ROLLOUT = build(".", "T", ".", ".")[0]
DATA = ROLLOUT.to_bytes()


def with_changes(**changes: Any) -> bytes:
    return dataclasses.replace(ROLLOUT, **changes).to_bytes()


def with_value(name: str, index: int, value: float) -> Callable[[], bytes]:
    def encode() -> bytes:
        array = getattr(ROLLOUT, name).copy()
        array[index] = value
        return with_changes(**{name: array})

    return encode


def test_a_rollout_has_one_more_observation_than_steps():
    assert len(ROLLOUT) == 4
    assert ROLLOUT.observations[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert ROLLOUT.actions.tolist() == [0, 1, 2, 0]
    assert ROLLOUT.rewards.tolist() == [0, 1, 2, 3]
    assert ROLLOUT.versions.tolist() == [10, 11, 12, 13]


def test_a_termination_does_not_end_a_rollout():
    assert ROLLOUT.terminated.tolist() == [False, True, False, False]
    assert len(build(".", "T", ".")) == 0


def test_a_truncation_ends_a_rollout_with_the_final_observation():
    first, second = build(".", "C", ".", ".", ".", ".")
    assert len(first) == 2
    assert first.truncated.tolist() == [False, True]
    assert first.observations[-1, 0, 0, 0] == 2
    assert len(second) == 4
    assert second.observations[0, 0, 0, 0] == 2


def test_observations_are_uploaded_once():
    cpu = torch.device("cpu")
    uploaded = ROLLOUT.observations_on(cpu)
    assert np.array_equal(uploaded.numpy(), ROLLOUT.observations)
    assert ROLLOUT.observations_on(cpu) is uploaded


def test_a_rollout_survives_encoding():
    decoded = Rollout.from_bytes(DATA)
    assert decoded.spec == TINY
    assert decoded.episodes == ROLLOUT.episodes
    for name in ARRAYS:
        sent, received = getattr(ROLLOUT, name), getattr(decoded, name)
        assert received.dtype == sent.dtype
        assert (received == sent).all()


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: f"{spec.action_kind}-{spec.memory}")
def test_a_rollout_of_every_kind_survives_encoding(spec: PolicySpec):
    rollout = make_rollout(5, spec=spec)
    decoded = Rollout.from_bytes(rollout.to_bytes())
    assert all((getattr(rollout, name) == getattr(decoded, name)).all() for name in ARRAYS)


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: f"{spec.action_kind}-{spec.memory}")
def test_decisions_of_every_kind_become_a_rollout(spec: PolicySpec):
    actor, builder = Actor(spec, seed=1), RolloutBuilder(spec, 3)
    observations = make_rollout(3, spec=spec).observations
    decisions = []
    for step in range(3):
        decisions += actor.act([observations[step]], [0])
        rollout = builder.add(
            observations[step], decisions[-1], Transition(observations[step + 1], 1, 0, 0)
        )
    assert rollout is not None
    decoded = Rollout.from_bytes(rollout.to_bytes())
    assert (decoded.actions == np.array([each.action for each in decisions])).all()
    assert decoded.memory.tolist() == [0.0] * spec.memory


def test_a_rollout_starts_with_the_recurrent_state_of_its_first_step():
    actor, builder = Actor(RECURRENT, seed=1), RolloutBuilder(RECURRENT, 2)
    observations = make_rollout(4, spec=RECURRENT).observations
    rollouts, memories = [], []
    for step in range(4):
        (decision,) = actor.act([observations[step]], [0])
        memories.append(decision.memory)
        transition = Transition(observations[step], 1, False, False)
        rollouts.append(builder.add(observations[step], decision, transition))
    assert rollouts[3] is not None
    assert (rollouts[3].memory == memories[2]).all()
    assert rollouts[3].memory.any()


def test_a_rollout_carries_the_episodes_that_ended_in_it():
    first, second = build(".", "T", ".", ".", ".", "C", steps=4)
    assert first.episodes == (EpisodeEnd(total_reward=1, length=1),)
    assert second.episodes == (EpisodeEnd(total_reward=5, length=1),)


@pytest.mark.parametrize("reward", [1e300, float("nan"), float("inf")])
def test_an_episode_with_an_impossible_return_is_rejected(reward: float):
    episode_end = EpisodeEnd.model_construct(total_reward=reward, length=3)
    with pytest.raises(WireError, match=r"episodes\.0\.total_reward"):
        Rollout.from_bytes(with_changes(episodes=(episode_end,)))


@pytest.mark.parametrize(
    ("spec", "name", "value", "reason"),
    [
        (MULTI_DISCRETE, "actions", 2, "range from .* to 2; gym:Row has 2"),
        (CONTINUOUS, "actions", float("nan"), "actions are not all finite"),
        (VECTOR, "observations", float("inf"), "observations are not all finite"),
        (RECURRENT, "memory", float("nan"), "memory are not all finite"),
    ],
)
def test_impossible_values_are_rejected(spec: PolicySpec, name: str, value: float, reason: str):
    rollout = make_rollout(4, spec=spec)
    getattr(rollout, name)[..., -1] = value
    with pytest.raises(WireError, match=reason):
        Rollout.from_bytes(rollout.to_bytes())


@pytest.mark.parametrize(
    ("encode", "reason"),
    [
        (lambda: b"", "not safetensors"),
        (lambda: DATA[:-1], "not safetensors"),
        (with_value("rewards", 1, float("nan")), "rewards are not all finite"),
        (with_value("rewards", 1, 1e30), "rewards are not all finite and within"),
        (with_value("rewards", 1, float("-inf")), "rewards"),
        (with_value("log_probs", 0, float("nan")), "log-probabilities"),
        (with_value("log_probs", 0, 0.1), "log-probabilities"),
        (with_value("log_probs", 0, float("-inf")), "log-probabilities"),
        (with_value("actions", 0, 3), "from 0 to 3.*has 3, from 0"),
        (with_value("actions", 0, -1), "from -1"),
        (with_value("versions", 0, -1), "version -1"),
        (with_value("truncated", 0, True), "continues after a truncated"),
        (
            lambda: with_changes(terminated=np.ones(4, bool), truncated=ROLLOUT.terminated[::-1]),
            "truncated",
        ),
        (lambda: with_changes(rewards=ROLLOUT.rewards[:3]), r"are \w+ \(4,\); expected \w+ \(3,\)"),
        (lambda: with_changes(rewards=ROLLOUT.rewards.astype(np.float64)), "float64"),
        (lambda: with_changes(observations=ROLLOUT.observations[:4]), "observations"),
        (lambda: with_changes(observations=ROLLOUT.observations[:, :, :35]), "observations"),
        (lambda: with_changes(actions=np.zeros((4, 2), np.int64)), r"actions are int64 \(4, 2\)"),
        (lambda: with_changes(memory=np.zeros(3, np.float32)), r"memory are float32 \(3,\)"),
        (lambda: with_changes(rewards=np.zeros(0, np.float32)), "expected 1 to 1024"),
        (lambda: with_changes(rewards=np.zeros((2, 2), np.float32)), "expected 1 to 1024"),
        (lambda: with_changes(rewards=np.zeros(2000, np.float32)), "expected 1 to 1024"),
        (lambda: pack({}, RolloutHeader(spec=TINY)), "lacks.*actions"),
    ],
)
def test_a_malformed_rollout_is_rejected_with_a_reason(encode: Callable[[], bytes], reason: str):
    with pytest.raises(WireError, match=reason):
        Rollout.from_bytes(encode())


def test_a_header_with_too_large_a_shape_is_rejected():
    text = TINY.model_dump_json().replace("[36,36,1]", "[36,360000,1]")
    header = json.dumps(json.dumps({"kind": "rollout", "spec": json.loads(text)})).encode()
    with pytest.raises(WireError, match="observation_shape"):
        Rollout.from_bytes(_with_metadata(header))


def _with_metadata(value: bytes) -> bytes:
    text = b'{"__metadata__":{"metabonk":' + value + b"}}"
    return len(text).to_bytes(8, "little") + text


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), max_size=8))
def test_changed_bytes_raise_only_wire_errors(changes: list[tuple[int, int]]):
    data = bytearray(DATA)
    for position, value in changes:
        data[position] = value
    try:
        rollout = Rollout.from_bytes(bytes(data))
    except WireError as error:
        assert str(error)
    else:
        assert np.isfinite(rollout.rewards).all()


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["actions", "log_probs", "rewards", "terminated", "truncated", "versions", "memory"]
        ),
        st.tuples(
            st.sampled_from([np.uint8, np.int64, np.float32, np.float64, np.bool_]),
            st.lists(st.integers(0, 5), max_size=3),
        ),
    )
)
def test_arrays_of_any_type_and_shape_raise_only_wire_errors(
    replaced: dict[str, tuple[type, list[int]]],
):
    arrays = {name: getattr(ROLLOUT, name) for name in ARRAYS}
    arrays |= {name: np.zeros(shape, dtype) for name, (dtype, shape) in replaced.items()}
    try:
        Rollout.from_bytes(pack(arrays, RolloutHeader(spec=TINY)))
    except WireError as error:
        assert str(error)


def test_shaping_is_in_the_rewards_but_not_in_the_return():
    class Shaped(SteppingGame):
        def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
            return super().step(action, on_frame)._replace(shaping=10.0)

    builder = RolloutBuilder(PolicySpec.of(DESCRIPTION), 2)
    runner = EnvRunner(Shaped(length=2), 0, builder, seeds=itertools.count())
    runner.reset()
    runner.step(decision())
    result = runner.step(decision())
    rollout = Rollout.from_bytes(result.rollout or b"")
    assert rollout.rewards.tolist() == [11.0, 11.0]
    assert rollout.episodes[0].total_reward == 2.0
    assert result.episode_end is not None
    assert result.episode_end.total_reward == 2.0
