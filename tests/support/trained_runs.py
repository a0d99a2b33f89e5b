"""Runs with a checkpoint, as training leaves them, in a fraction of a second."""

from pathlib import Path

import torch
from torch import nn

from metabonk.games import describe_game
from metabonk.learner.checkpoint import save_checkpoint
from metabonk.learner.ppo import Learner
from metabonk.policy import PolicySpec
from metabonk.runs.layout import new_run, save_settings
from metabonk.settings import Settings


def write_run(folder: Path, game: str, **learning: object) -> Path:
    """Create a run in ``folder/runs`` whose policy has clear preferences and statistics.

    Returns:
        Its folder.
    """
    settings = Settings.model_validate(
        {"game": game, "learning": learning, "paths": {"runs": folder / "runs"}}
    )
    run_dir = new_run(settings)
    save_settings(settings, run_dir)
    spec = PolicySpec.of(describe_game(game, settings.learning), settings.learning)
    torch.manual_seed(settings.learning.seed)
    learner = Learner(spec, settings.learning, device=torch.device("cpu"))
    network = learner.network
    nn.init.orthogonal_(network.policy_head.weight, 3.0)
    with torch.no_grad():
        network.update_return_stats(torch.tensor([5.0, 50.0]), 1.0)
        if spec.network == "mlp":
            observations = 0.1 * torch.randn(64, *spec.observation_shape)
            network.update_obs_stats(torch.cat([observations, -observations]))
    learner.counters.version = 12
    save_checkpoint(learner, run_dir)
    return run_dir
