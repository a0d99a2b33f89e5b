"""A trained policy in its user's own loop."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import metabonk
from metabonk.errors import CheckpointError, PolicyError, StartError
from metabonk.frame import Frame
from metabonk.games import describe_game, make_game
from metabonk.games.preprocessing import ObservationSpec, observe, with_action
from metabonk.policy import Actor, PolicySpec
from metabonk.runs.checkpoints import newest_weights
from metabonk.settings.learning import Learning
from tests.support.desktop import counter
from tests.support.odd_environment import GAME as ODD
from tests.support.trained_runs import write_run

CARTPOLE = "gym:CartPole-v1"
STEPS = 30


def make_actor(run_dir: Path, game: str, learning: Learning) -> Actor:
    """Return what ``metabonk eval --greedy`` acts with."""
    spec = PolicySpec.of(describe_game(game, learning), learning)
    actor = Actor(spec, greedy=True, device=torch.device("cpu"))
    weights = newest_weights(run_dir)
    assert weights is not None
    actor.load(weights)
    return actor


@pytest.mark.parametrize(
    ("game", "settings"),
    [
        (CARTPOLE, {}),
        (CARTPOLE, {"recurrent": True}),
        (CARTPOLE, {"observation": "pixels", "grayscale": True}),
        ("gym:Pendulum-v1", {}),
        (ODD, {"recurrent": True}),
    ],
    ids=["vector", "recurrent", "frames", "continuous", "stacked images and choices"],
)
def test_it_plays_an_environment_as_eval_does(
    game: str, settings: dict[str, object], tmp_path: Path
):
    run_dir = write_run(tmp_path, game, **settings)
    learning = Learning.model_validate(settings)
    policy = metabonk.load_policy(run_dir)
    assert (policy.game, policy.version) == (game, 12)
    actor = make_actor(run_dir, game, learning)
    own = gymnasium.make(game.removeprefix("gym:"), render_mode="rgb_array")
    played = make_game(game, learning)
    try:
        steps = 0
        for seed in (3, 4):
            seen = played.reset(seed)
            observation, _ = own.reset(seed=seed)
            policy.reset()
            actor.reset_state(0)
            done = False
            while not done and (steps := steps + 1) % STEPS:
                (decision,) = actor.act([seen], [0])
                given = own.render() if learning.observation == "pixels" else observation
                action = policy.act(given)
                assert own.action_space.contains(action)
                assert policy.probabilities == pytest.approx(decision.probabilities, abs=1e-6)
                assert policy.value == pytest.approx(decision.value, abs=1e-4)
                observation, reward, terminated, truncated, _ = own.step(action)
                transition = played.step(decision.action)
                seen = transition.observation
                assert float(reward) == pytest.approx(transition.reward, abs=1e-6)
                done = terminated or truncated
        assert steps > STEPS / 2
    finally:
        played.close()
        own.close()


def test_where_a_game_runs_on_it_sees_its_last_action(tmp_path: Path):
    game, learning = counter(tmp_path), Learning()
    run_dir = write_run(tmp_path, game)
    policy, actor = metabonk.load_policy(run_dir), make_actor(run_dir, game, learning)
    frame = np.random.default_rng(0).integers(0, 256, (120, 320, 3), np.uint8)
    height, width, _ = describe_game(game, learning).observation_shape
    image, action = observe(Frame(frame, 0), ObservationSpec(width, height)), None
    values = set()
    for _ in range(2):
        keys = policy.act(frame)
        (decision,) = actor.act([with_action(image, action, 2)], [0])
        action = decision.action
        assert keys == [["space"], []][action]
        assert policy.value == pytest.approx(decision.value, abs=1e-5)
        values.add(policy.value)
    assert len(values) == 2


def test_it_sees_a_frame_of_doom_and_presses_the_buttons(tmp_path: Path):
    run_dir = write_run(tmp_path, "doom:basic")
    policy = metabonk.load_policy(run_dir)
    actor = make_actor(run_dir, "doom:basic", Learning())
    buttons = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    pressed = []
    for seed in range(20):
        pixels = np.random.default_rng(seed).integers(0, 256, (144, 256, 3), np.uint8)
        pixels[: 7 * seed] //= 8
        pressed.append(policy.act(pixels))
        (decision,) = actor.act([observe(Frame(pixels, 0.0), ObservationSpec(128, 72))], [0])
        assert pressed[-1] == buttons[decision.action]


def test_sampled_actions_follow_the_probabilities_and_a_seed_repeats_them(tmp_path: Path):
    run_dir = write_run(tmp_path, CARTPOLE)
    observation = np.array([0.1, 0.2, 0.0, 0.1], np.float32)

    def sample(seed: int) -> list[int]:
        policy = metabonk.load_policy(run_dir, seed=seed)
        return [policy.act(observation, greedy=False) for _ in range(400)]

    policy = metabonk.load_policy(run_dir)
    greedy = policy.act(observation)
    assert greedy == policy.probabilities.argmax()
    assert np.mean(sample(1)) == pytest.approx(policy.probabilities[1], abs=0.1)
    assert sample(1) == sample(1) != sample(2)


def test_a_reset_forgets_the_recurrent_state_and_the_stacked_images(tmp_path: Path):
    policy = metabonk.load_policy(write_run(tmp_path, ODD, recurrent=True))
    images = np.random.default_rng(0).integers(0, 256, (2, 36, 36, 1), np.uint8)

    def values() -> list[float]:
        seen = []
        for image in images:
            policy.act(image)
            seen.append(policy.value)
        return seen

    first = values()
    assert values() != first
    policy.reset()
    assert values() == first


def test_runs_are_found_by_name_and_the_newest_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartError, match="no run with a checkpoint"):
        metabonk.load_policy()
    run_dir = write_run(Path(), CARTPOLE)
    assert metabonk.load_policy().version == metabonk.load_policy(run_dir.name).version == 12
    with pytest.raises(StartError, match="there is no run 'other'"):
        metabonk.load_policy("other")
    with pytest.raises(CheckpointError, match="no readable best checkpoint"):
        metabonk.load_policy(best=True)


def test_an_observation_of_another_shape_is_an_error_that_names_both(tmp_path: Path):
    policy = metabonk.load_policy(write_run(tmp_path, CARTPOLE))
    with pytest.raises(PolicyError, match=r"CartPole-v1 can't see this: .*\(3,\), not .*\(4,\)"):
        policy.act(np.zeros(3))


def test_importing_metabonk_imports_nothing_else():
    code = "import sys, metabonk; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "metabonk" in done.stdout.split()
    assert "torch" not in done.stdout and "metabonk." not in done.stdout


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'load_polycy'"):
        _ = metabonk.load_polycy
