"""The policy of a run, loaded from one of its checkpoints."""

import os
from pathlib import Path
from typing import NamedTuple

from metabonk.games import EnvInterface, env_interface
from metabonk.policy import ActorCritic, PolicySpec, load_weights
from metabonk.runs.checkpoints import find_trained, trained_weights
from metabonk.runs.layout import SETTINGS_FILE
from metabonk.settings import Settings, load_settings, read_usable_settings


class Trained(NamedTuple):
    """A trained policy.

    Attributes:
        run: name of its run.
        settings: that the run was trained with.
        interface: to the environment of its game.
        network: on the CPU, for inference.
        version: number of updates behind its weights.
    """

    run: str
    settings: Settings
    interface: EnvInterface
    network: ActorCritic
    version: int


def load_trained(run: str | os.PathLike[str], *, best: bool) -> Trained:
    """Load the policy of a run, from its newest checkpoint or the one of the best mean return.

    Args:
        run: name of the run, its folder, or ``newest``.
        best: the checkpoint of the best mean return.

    Raises:
        MetaBonkError: there is no such run or checkpoint, its game can't be played here, or the
            game has changed since.
    """
    run_dir = find_trained(load_settings().paths.runs, run)
    settings, _ = read_usable_settings(run_dir / SETTINGS_FILE)
    weights = trained_weights(run_dir, best=best)
    interface = env_interface(settings.game, settings.learning)
    network = ActorCritic(PolicySpec.of(interface.description, settings.learning)).eval()
    version = load_weights(network, weights)
    network.requires_grad_(False)
    return Trained(Path(run_dir).absolute().name, settings, interface, network, version)
