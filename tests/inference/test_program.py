"""A policy as a computation, against the same policy in a loop."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metabonk.games.gym_actions import make_actions
from metabonk.inference import TrainedPolicy
from metabonk.inference.program import Program, ProgramInfo
from metabonk.inference.trained import load_trained
from metabonk.policy import ActorCritic
from tests.support.odd_environment import GAME as ODD
from tests.support.specs import CONTINUOUS
from tests.support.trained_runs import write_run


@pytest.mark.parametrize(
    ("game", "settings"),
    [
        ("gym:CartPole-v1", {"recurrent": True}),
        ("gym:Pendulum-v1", {}),
        (ODD, {"frame_stack": 1}),
        ("doom:basic", {}),
    ],
)
def test_it_computes_what_the_policy_does(game: str, settings: dict[str, object], tmp_path: Path):
    trained = load_trained(write_run(tmp_path, game, **settings), best=False)
    spec = trained.network.spec
    program = Program(trained.network, trained.interface.actions)
    random = np.random.default_rng(0)
    if spec.observation_dtype is np.uint8:
        observations = random.integers(0, 256, (6, *spec.observation_shape), np.uint8)
    else:
        observations = random.normal(size=(6, *spec.observation_shape)).astype(np.float32)
    memory = {"memory": torch.zeros(6, spec.memory)} if spec.memory else {}
    outputs = program(torch.from_numpy(observations), **memory)
    policy = TrainedPolicy(trained)
    for index, observation in enumerate(observations):
        policy.reset()
        action = np.asarray(policy.act(observation))
        assert outputs["action"][index].numpy() == pytest.approx(action, abs=1e-5)
        assert outputs["value"][index].item() == pytest.approx(policy.value, abs=1e-4)
        if "probabilities" in outputs:
            given = outputs["probabilities"][index].numpy()
            assert given == pytest.approx(policy.probabilities, abs=1e-6)
    assert ("next_memory" in outputs) == bool(spec.memory)


def test_continuous_actions_are_in_the_environments_units():
    low, high = np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32)
    space = spaces.Box(low, high)
    environment = type("Environment", (), {"action_space": space})()
    network = ActorCritic(CONTINUOUS)
    torch.nn.init.zeros_(network.policy_head.weight)
    with torch.no_grad():
        network.policy_head.bias.copy_(torch.tensor([0.5, 3.0]))
    outputs = Program(network, make_actions("gym:Made-v0", environment))(torch.zeros(1, 4))
    assert outputs["mean"].tolist() == [[1.0, 20.0]]
    assert outputs["action"].tolist() == [[1.0, 10.0]]
    deviation = float(np.exp(-0.5))
    assert outputs["std"][0].tolist() == pytest.approx([2 * deviation, 5 * deviation])


def test_its_description_has_what_a_user_needs_to_feed_it(tmp_path: Path):
    run_dir = write_run(tmp_path, ODD)
    info = ProgramInfo.of(load_trained(run_dir, best=False))
    assert (info.run, info.policy_version, info.game) == (run_dir.name, 12, ODD)
    assert (info.observation_shape, info.frame_stack) == ((36, 36, 4), 4)
    assert info.action_sizes == (2, 3)
    assert info.metabonk and info.env_args == {} and info.memory == 0
