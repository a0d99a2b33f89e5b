"""Duration of the learner's updates alone, of Doom's frames.

``python -m benchmarks.learner_update [--updates 30] [--only WORD]`` prints for each network the
median duration of an update of 1,024 steps and the steps per second that follow, on the GPU if
there is one. There it adds what one update costs: milliseconds in which the device works, kernels
that it runs, launches by the host, and times that the host waits for the device.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tests.support.rollouts import make_rollout

from metabonk.games import GameDescription
from metabonk.learner.ppo import Learner
from metabonk.policy import PolicySpec
from metabonk.settings.learning import Learning

WARM_UP = 5
PROFILED = 5
GAME = GameDescription(
    id="doom:defend_the_center",
    observation_shape=(72, 128, 3),
    action_names=tuple(f"action {number}" for number in range(7)),
)
ONE_PASS = {"epochs": 1}
ONE_STEP = {"epochs": 1, "num_minibatches": 1}
RECURRENT = {"recurrent": True}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "small": {},
    "small, one pass": ONE_PASS,
    "small, one step": ONE_STEP,
    "small, recurrent": RECURRENT,
    "sample_factory": {"network": "sample_factory"},
    "sample_factory, one pass": {"network": "sample_factory", **ONE_PASS},
    "sample_factory, one step": {"network": "sample_factory", **ONE_STEP},
    "sample_factory, recurrent": {"network": "sample_factory", **RECURRENT},
}
"""Settings of learning that differ from the defaults, by name."""

LAUNCHES = ("cudaLaunchKernel", "cudaGraphLaunch", "cuLaunchKernel", "cudaMemcpy", "cudaMemset")
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


class Updates:
    """A learner and the batches that it gets.

    Args:
        learning: settings.
    """

    def __init__(self, learning: Learning) -> None:
        spec = PolicySpec.of(GAME, learning)
        self._learner = Learner(spec, learning)
        self.device = next(self._learner.network.parameters()).device
        self.steps = learning.batch_size
        self._rollouts = [
            make_rollout(learning.rollout_steps, spec=spec, seed=seed)
            for seed in range(learning.batch_size // learning.rollout_steps)
        ]

    def run(self) -> None:
        """Make an update, to the end."""
        for rollout in self._rollouts:
            rollout.versions[:] = self._learner.counters.version
        self._learner.update(self._rollouts)
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def time(self) -> float:
        """Return the duration of an update, milliseconds."""
        began = time.perf_counter()
        self.run()
        return 1000 * (time.perf_counter() - began)

    def profile(self) -> str:
        """Return what an update costs on the GPU, in words."""
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            for _ in range(PROFILED):
                self.run()
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder, "trace.json")
            profile.export_chrome_trace(str(trace))
            return _describe(json.loads(trace.read_text())["traceEvents"])


def _describe(events: list[dict[str, Any]]) -> str:
    on_device = [e for e in events if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    calls = Counter(e["name"] for e in events if e.get("cat") in ("cuda_runtime", "cuda_driver"))
    # The benchmark itself waits for the device once an update.
    waits = sum(calls[name] for name in WAITS) / PROFILED - 1
    launches = sum(count for name, count in calls.items() if name.startswith(LAUNCHES)) / PROFILED
    busy = sum(event["dur"] for event in on_device) / 1000 / PROFILED
    return (
        f"device {busy:.1f} ms, {len(on_device) / PROFILED:.0f} kernels, "
        f"{launches:.0f} launches, {waits:.0f} waits"
    )


def main() -> None:
    """Measure, and print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--only", default="", help="part of the variants' names")
    arguments = parser.parse_args()
    for name, changes in VARIANTS.items():
        if arguments.only not in name:
            continue
        updates = Updates(Learning.model_validate(changes))
        took = [updates.time() for _ in range(WARM_UP + arguments.updates)][WARM_UP:]
        median = statistics.median(took)
        line = f"{name}: {median:.1f} ms per update, {1000 * updates.steps / median:,.0f} steps/s"
        if updates.device.type == "cuda":
            line = f"{line}; {updates.profile()}"
        print(f"{line} ({updates.device})", flush=True)


if __name__ == "__main__":
    main()
