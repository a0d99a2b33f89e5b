"""``Thoughts`` of policies of Stable-Baselines3."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from metabonk.broadcast import channel
from metabonk.broadcast.carried import restore
from metabonk.broadcast.places import find_rings
from metabonk.broadcast.records import EpisodeStart, Step, Thought
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.wrapper import Broadcast
from metabonk.sb3 import Thoughts
from tests.support.rings import records_of

POLE = "CartPole-v1"
BOTH = pytest.mark.parametrize("vector", [DummyVecEnv, SubprocVecEnv])

# Python 3.12 warns of the forks of SubprocVecEnv.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def _rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path / "runtime"))
    monkeypatch.setenv("METABONK_HUB", "0")
    monkeypatch.setattr(channel, "BATCH_S", 0.0)


def forked(vector: Any) -> dict[str, str]:
    """Return arguments with which processes have this test's environment and patches."""
    return {"start_method": "fork"} if vector is SubprocVecEnv else {}


@contextlib.contextmanager
def made(vector: Any, game: str = POLE, **options: Any) -> Iterator[PPO]:
    """Yield a model that stays as it is, whose environments are broadcast."""
    environments = make_vec_env(
        game,
        2,
        seed=3,
        wrapper_class=Broadcast,
        vec_env_cls=vector,
        vec_env_kwargs=forked(vector),
    )
    options = {"learning_rate": 0.0, "n_steps": 64, "seed": 3, "device": "cpu"} | options
    model = PPO("MlpPolicy", environments, **options)
    model.learn(1)
    yield model
    environments.close()


def watch() -> list[RingReader]:
    readers = [RingReader(file) for file in find_rings()]
    assert len(readers) == 2
    for reader in readers:
        set_demand(reader.file, Demand.RECORDS, 600)
    return readers


@BOTH
def test_each_step_comes_with_what_the_policy_thinks_of_its_observation(vector: Any):
    with made(vector) as model:
        readers = watch()
        model.learn(256, callback=Thoughts(), reset_num_timesteps=True)
        for reader in readers:
            environment = gymnasium.make(POLE)
            observation, thoughts, steps = None, list[Thought](), 0
            for record in records_of(reader):
                match record:
                    case EpisodeStart():
                        restore(environment, record.carried)
                        observation, _ = environment.reset(seed=record.seed)
                    case Thought():
                        thoughts.append(record)
                    case Step():
                        (thought,) = thoughts
                        batch = torch.as_tensor(observation)[None]
                        probabilities = model.policy.get_distribution(batch).distribution.probs
                        value = model.policy.predict_values(batch)
                        assert thought.probabilities is not None and thought.value is not None
                        assert thought.probabilities == pytest.approx(
                            probabilities.detach().numpy()[0], abs=1e-6
                        )
                        assert thought.value == pytest.approx(value.item(), abs=1e-5)
                        thoughts, steps = [], steps + 1
                        observation = environment.step(record.action)[0]
            assert steps > 60
            environment.close()


@BOTH
def test_nothing_is_computed_while_nobody_watches(vector: Any, monkeypatch: pytest.MonkeyPatch):
    calls = list[Any]()
    monkeypatch.setattr("metabonk.sb3._probabilities", calls.append)
    with made(vector) as model:
        model.learn(128, callback=Thoughts())
        assert calls == []
        watch()
        model.learn(128, callback=Thoughts())
        assert len(calls) > 30


@BOTH
def test_the_policy_learns_the_same_to_the_bit(vector: Any):
    learned = list[list[float]]()
    for callback in (None, Thoughts()):
        with made(vector, learning_rate=3e-4) as model:
            watch()
            model.learn(512, callback=callback)
            learned.append([x for each in model.policy.parameters() for x in each.ravel().tolist()])
    assert learned[0] == learned[1]


def test_actions_that_are_numbers_have_a_value_alone():
    with made(DummyVecEnv, "Pendulum-v1") as model:
        readers = watch()
        model.env.reset()  # type: ignore[union-attr]
        model.learn(64, callback=Thoughts())
        thoughts = [each for each in records_of(readers[0]) if isinstance(each, Thought)]
        assert len(thoughts) >= 30
        assert all(each.probabilities is None and each.value is not None for each in thoughts)


class Several(gymnasium.ActionWrapper[Any, Any, Any]):
    """Takes two numbers at once, of which the first counts."""

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        super().__init__(environment)
        self.action_space = gymnasium.spaces.MultiDiscrete([2, 3])

    def action(self, action: Any) -> Any:
        return int(action[0])


def test_probabilities_of_several_actions_stand_side_by_side():
    def make() -> gymnasium.Env[Any, Any]:
        return Broadcast(Several(gymnasium.make(POLE)))

    environments = DummyVecEnv([make, make])
    model = PPO("MlpPolicy", environments, n_steps=32, device="cpu")
    model.learn(1)
    readers = watch()
    environments.reset()
    model.learn(128, callback=Thoughts())
    thoughts = [each for each in records_of(readers[0]) if isinstance(each, Thought)]
    assert len(thoughts) > 30
    for each in thoughts:
        assert each.probabilities is not None and each.probabilities.shape == (5,)
        assert np.isclose(each.probabilities[:2].sum(), 1, atol=1e-5)
    environments.close()


def test_environments_that_are_not_broadcast_have_no_thoughts():
    for vector in (DummyVecEnv, SubprocVecEnv):
        environments = make_vec_env(POLE, 2, vec_env_cls=vector, vec_env_kwargs=forked(vector))
        model = PPO("MlpPolicy", environments, n_steps=32, device="cpu")
        model.learn(64, callback=Thoughts())
        assert len(model.policy._forward_hooks) == 0
        environments.close()


def test_what_is_switched_off_has_no_thoughts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("METABONK_BROADCAST", "0")
    with made(SubprocVecEnv) as model:
        model.learn(64, callback=Thoughts())
        assert find_rings() == []


def test_an_algorithm_without_such_a_policy_is_named():
    environments = make_vec_env(POLE, 1, wrapper_class=Broadcast)
    model = DQN("MlpPolicy", environments, learning_starts=10, device="cpu")
    with pytest.warns(UserWarning, match="shows nothing of DQN, which is not on-policy"):
        model.learn(20, callback=Thoughts())
    environments.close()


def test_a_policy_that_returns_something_else_ends_it_with_a_warning():
    with made(DummyVecEnv) as model:
        watch()
        model.policy.register_forward_hook(lambda policy, given, output: (*output[:1], None, None))
        with (
            pytest.warns(UserWarning, match="shows nothing any more"),
            pytest.raises(AttributeError),
        ):
            model.learn(64, callback=Thoughts())
