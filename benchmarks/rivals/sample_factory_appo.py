"""Sample Factory's own ViZDoom recipe, with its network, settings and environments.

Runs in a separate virtual environment. Only the machine-dependent settings differ from the recipe:
the device, and the number of workers of eight environments (by default two, on the CPU).
"""

import argparse
import statistics
import sys
import tempfile

from sample_factory.algo.runners.runner import AlgoObserver
from sample_factory.train import make_runner
from sf_examples.vizdoom.doom.doom_utils import doom_env_by_name
from sf_examples.vizdoom.train_vizdoom import parse_vizdoom_cfg, register_vizdoom_components

GAMES = {
    "basic": "doom_basic",
    "defend_the_center": "doom_defend_the_center_flat_actions",
    "health_gathering": "doom_health_gathering",
    "my_way_home": "doom_my_way_home_flat_actions",
}


EPISODES = 100
"""Episodes in a mean return, as many as the library keeps."""


class Reports(AlgoObserver):
    """Prints steps and mean return after every update.

    Args:
        scale: factor that the recipe applies to the game's rewards.
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def on_training_step(self, runner, training_iteration_since_resume: int) -> None:
        (returns,) = runner.policy_avg_stats.get("reward", [()])
        mean_return = ""
        if len(returns) == EPISODES:
            mean_return = f" return {statistics.fmean(returns) / self._scale}"
        sys.stdout.write(f"steps {runner.total_env_steps_since_resume}{mean_return}\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", required=True, choices=sorted(GAMES))
    parser.add_argument("--skip", type=int, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "gpu"))
    arguments = parser.parse_args()
    register_vizdoom_components()
    with tempfile.TemporaryDirectory() as folder:
        cfg = parse_vizdoom_cfg(
            [
                "--algo=APPO",
                f"--env={GAMES[arguments.scenario]}",
                "--experiment=throughput",
                f"--train_dir={folder}",
                f"--device={arguments.device}",
                f"--num_workers={arguments.workers}",
                "--num_envs_per_worker=8",
                f"--env_frameskip={arguments.skip}",
                # Count steps instead of tics, as the other contestants do.
                "--summaries_use_frameskip=False",
                "--train_for_env_steps=1000000000",
                "--save_every_sec=1000000",
            ]
        )
        cfg, runner = make_runner(cfg)
        runner.register_observer(Reports(doom_env_by_name(cfg.env).reward_scaling))
        runner.init()
        runner.run()


if __name__ == "__main__":
    main()
