"""Duration of the inference server's forward passes alone, on frames of Doom.

``python -m benchmarks.inference_pass [--only WORD]`` prints for each network, number of workers
and number of observations the median duration of a pass, from the workers' memory and back, and
the observations per second that follow. Where there is a GPU, it compares passes that are launched
kernel by kernel with those that were recorded.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from metabonk.games import GameDescription
from metabonk.inference_server.batch import BatchedForward, Request, Rows
from metabonk.policy import ActorCritic, PolicySpec
from metabonk.policy.inference_wire import Hello, InferenceSlab
from metabonk.policy.shared_network import SharedNetwork
from metabonk.settings.learning import Learning

GAME = GameDescription(
    id="doom:defend_the_center",
    observation_shape=(72, 128, 3),
    action_names=tuple(f"action {number}" for number in range(7)),
)
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "small": {},
    "small, recurrent": {"recurrent": True},
    "sample_factory": {"network": "sample_factory"},
}
WORKERS = (1, 4, 8)
OBSERVATIONS = (8, 16, 32, 64, 128, 256)
WARM_UP_S, MEASURED_S = 0.1, 0.4


def make_requests(spec: PolicySpec, workers: int, observations: int) -> list[Request]:
    """Return one request of each worker."""
    each = observations // workers
    hello = Hello(spec=spec, capacity=each)
    size = InferenceSlab.size(hello)
    return [Request(InferenceSlab(bytearray(size), hello), each) for _ in range(workers)]


def median_ms(run: Callable[[list[Request]], Any], requests: list[Request]) -> float:
    """Return how long a pass takes, milliseconds."""
    took = []
    begin = time.perf_counter()
    while (now := time.perf_counter()) < begin + WARM_UP_S + MEASURED_S:
        run(requests)
        if now >= begin + WARM_UP_S:
            took.append(1000 * (time.perf_counter() - now))
    return statistics.median(took)


def make_eager_pass(network: ActorCritic, device: torch.device) -> Callable[[list[Request]], None]:
    """Return a pass whose kernels are launched one by one."""
    rows = Rows(network.spec, device)

    def run(requests: list[Request]) -> None:
        rows.compute(network, rows.gather(requests))
        torch.cuda.synchronize(device)
        rows.scatter(requests)

    return run


def main() -> None:
    """Measure, and print a line for each combination."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of the networks' names")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # As the server does.
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name, changes in NETWORKS.items():
        if arguments.only not in name:
            continue
        spec = PolicySpec.of(GAME, Learning.model_validate(changes))
        network = ActorCritic(spec).eval().to(device)
        passes: dict[str, Callable[[list[Request]], Any]] = {}
        if device.type == "cuda":
            passes["eager"] = make_eager_pass(network, device)
        began = time.perf_counter()
        passes["as served"] = BatchedForward(SharedNetwork(network), device)
        print(f"{name}: ready after {time.perf_counter() - began:.2f} s ({device})")
        for workers in WORKERS:
            for observations in OBSERVATIONS:
                requests = make_requests(spec, workers, observations)
                figures = []
                for kind, run in passes.items():
                    ms = median_ms(run, requests)
                    rate = 1000 * observations / ms
                    figures.append(f"{kind} {ms:.3f} ms, {rate:,.0f} observations/s")
                line = f"{observations} observations of {workers} workers"
                print(f"  {line}: {'; '.join(figures)}", flush=True)


if __name__ == "__main__":
    main()
