"""Duration of the learner's updates alone, of Doom's frames with default settings.

``python -m benchmarks.learner_update [--updates 30]`` prints the median of an update of 1,024 steps
in milliseconds, on the GPU if there is one.
"""

import argparse
import statistics
import time

import torch
from tests.support.rollouts import make_rollout

from metabonk.learner.ppo import Learner
from metabonk.policy import PolicySpec
from metabonk.settings.schema import Learning

WARM_UP = 5
SPEC = PolicySpec(
    game="doom:defend_the_center",
    observation_shape=(72, 128, 3),
    action_names=tuple(f"action {number}" for number in range(7)),
)


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=30)
    arguments = parser.parse_args()
    settings = Learning()
    learner = Learner(SPEC, settings)
    device = next(learner.network.parameters()).device
    count = settings.batch_size // settings.rollout_steps
    took: list[float] = []
    for number in range(WARM_UP + arguments.updates):
        rollouts = [
            make_rollout(settings.rollout_steps, spec=SPEC, seed=seed, version=number)
            for seed in range(count)
        ]
        began = time.perf_counter()
        learner.update(rollouts)
        if device.type == "cuda":
            torch.cuda.synchronize()
        took.append(1000 * (time.perf_counter() - began))
    print(f"{statistics.median(took[WARM_UP:]):.1f} ms per update on {device}")


if __name__ == "__main__":
    main()
