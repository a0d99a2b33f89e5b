"""Exported files, run by PyTorch and ONNX Runtime as the documentation says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

import metabonk
from metabonk.cli.main import main
from metabonk.errors import ExportError
from metabonk.inference import TrainedPolicy
from metabonk.inference.export import check_target, export
from metabonk.inference.trained import load_trained
from tests.support.odd_environment import GAME as ODD
from tests.support.trained_runs import write_run

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
CARTPOLE = "gym:CartPole-v1"


def run_code_of_the_page(*words: str) -> dict[str, Any]:
    """Run the page's only Python example with these words; return its variables."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (code,) = (block for block in blocks if all(word in block for word in words))
    variables: dict[str, Any] = {}
    exec(code, variables)
    return variables


def observe_cartpole() -> Iterator[NDArray[np.float32]]:
    """Yield what CartPole shows while it is played at random."""
    environment = gymnasium.make("CartPole-v1")
    environment.action_space.seed(0)
    for seed in range(10):
        observation, _ = environment.reset(seed=seed)
        done = False
        while not done:
            yield observation
            observation, _, done, _, _ = environment.step(environment.action_space.sample())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a working directory with a run and its policy in both formats."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        write_run(Path(), CARTPOLE)
        assert main(["export", "-o", "policy.pt2"]) == 0
        assert main(["export", "newest", "-o", "policy.onnx"]) == 0
    return folder


def test_the_documented_loaders_play_as_the_policy_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    observations = np.stack([*observe_cartpole()])
    policy = metabonk.load_policy()
    actions = [policy.act(observation) for observation in observations]
    assert set(actions) == {0, 1}
    by_torch = run_code_of_the_page("torch.export", "env.step")
    outputs = by_torch["policy"](observation=torch.from_numpy(observations))
    assert outputs["action"].tolist() == actions
    by_onnx = run_code_of_the_page("onnxruntime", "env.step")
    (chosen,) = by_onnx["policy"].run(["action"], {"observation": observations})
    assert chosen.tolist() == actions
    assert by_torch["total"] == by_onnx["total"] > 1


def test_the_documented_loop_plays_with_load_policy(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    assert run_code_of_the_page("load_policy", "env.step")["done"]


def test_the_documented_loop_plays_doom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_run(Path(), "doom:basic", frame_skip=20)
    variables = run_code_of_the_page("load_policy", "vizdoom")
    assert variables["game"].is_episode_finished()
    variables["game"].close()


def test_the_documented_wrapper_shows_an_atari_policy_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_run(Path(), "gym:ALE/Pong-v5")
    variables = run_code_of_the_page("AtariPreprocessing")
    environment, policy = variables["env"], variables["policy"]
    observation, _ = environment.reset(seed=0)
    for _ in range(5):
        observation, *_ = environment.step(policy.act(observation))
    assert policy.probabilities.shape == (6,)
    environment.close()


def test_the_files_say_what_is_in_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(folder)
    run_code_of_the_page("custom_metadata_map")
    assert capsys.readouterr().out == f"{CARTPOLE}\n{CARTPOLE}\n"


def test_a_recurrent_policy_with_stacked_images_and_several_choices_becomes_onnx(tmp_path: Path):
    trained = load_trained(write_run(tmp_path, ODD, recurrent=True), best=False)
    export(trained, tmp_path / "policy.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    policy = TrainedPolicy(trained)
    memory = np.zeros((1, trained.network.spec.memory), np.float32)
    images = np.random.default_rng(0).integers(0, 256, (3, 36, 36, 1), np.uint8)
    seen = [images[0]] * trained.interface.frame_stack
    for image in images:
        seen = [*seen[1:], image]
        given = {"observation": np.concatenate(seen, axis=2)[None], "memory": memory}
        names = ["action", "value", "probabilities", "next_memory"]
        action, value, probabilities, memory = session.run(names, given)
        assert action.tolist() == [policy.act(image).tolist()]
        assert value == pytest.approx(policy.value, rel=1e-4)
        assert probabilities[0] == pytest.approx(policy.probabilities, abs=1e-5)


def test_continuous_actions_become_onnx_in_the_environments_units(tmp_path: Path):
    trained = load_trained(write_run(tmp_path, "gym:Pendulum-v1"), best=False)
    export(trained, tmp_path / "policy.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    policy = TrainedPolicy(trained)
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    action, std = session.run(["action", "std"], {"observation": observations})
    assert action == pytest.approx(np.stack([policy.act(each) for each in observations]), abs=1e-5)
    assert std.shape == (5, 1) and (std > 0).all()


def test_a_missing_package_for_onnx_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("metabonk.inference.export.ONNX_MODULES", ("onnx", "onnxscript_missing"))
    check_target(Path("policy.pt2"))
    with pytest.raises(ExportError, match=r"needs the package onnxscript_missing.*\[export\]"):
        check_target(Path("policy.onnx"))
