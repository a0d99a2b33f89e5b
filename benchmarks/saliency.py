"""Cost of a saliency map, and its agreement with perturbing cell by cell.

``python -m benchmarks.saliency [--run RUN_FOLDER] [--game doom:basic]`` uses the newest policy of a
run, or an untrained one. It prints milliseconds of one core per map, medians of 20 alternating
rounds, and the rank correlation with cell-by-cell perturbation over 30 played observations.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from metabonk.games import Game, Purpose, episode_seeds, make_game
from metabonk.policy import Actor, ActorCritic, Decision, PolicySpec
from metabonk.policy.saliency import CELL, blurred, saliency_map
from metabonk.runs.checkpoints import newest_weights
from metabonk.settings.learning import Learning
from metabonk.worker.saliency import PERIOD_S

ROUNDS = 20
OBSERVATIONS = 30

Map = Callable[[ActorCritic, NDArray[np.uint8], Decision], NDArray[np.float32]]


def first_order(
    network: ActorCritic, observation: NDArray[np.uint8], decision: Decision
) -> NDArray[np.float32]:
    return saliency_map(network, observation, decision.action).astype(np.float32)


def gradient(
    network: ActorCritic, observation: NDArray[np.uint8], decision: Decision
) -> NDArray[np.float32]:
    image = torch.from_numpy(observation)[None].to(torch.float32).requires_grad_()
    log_prob = network.spec.distribution(network(image.clone()).parameters).log_prob(
        torch.tensor([decision.action])
    )
    (slope,) = torch.autograd.grad(log_prob.sum(), image)
    cells = torch.nn.functional.avg_pool2d(slope.abs().sum(-1), CELL)
    return np.asarray(cells[0], np.float32)


def cell_by_cell(
    network: ActorCritic, observation: NDArray[np.uint8], decision: Decision
) -> NDArray[np.float32]:
    """Blur every cell in turn, in one batch (Greydanus et al. 2018)."""
    image = torch.from_numpy(observation)[None].to(torch.float32)
    without_detail = blurred(image)[0]
    rows, columns = observation.shape[0] // CELL, observation.shape[1] // CELL
    batch = image.repeat(rows * columns + 1, 1, 1, 1)
    for cell in range(rows * columns):
        top, left = CELL * (cell // columns), CELL * (cell % columns)
        part = (slice(top, top + CELL), slice(left, left + CELL))
        batch[cell + 1][part] = without_detail[part]
    with torch.inference_mode():
        distribution = network.spec.distribution(network(batch).parameters)
        chosen = torch.full((len(batch),), decision.action)
        log_probs = distribution.log_prob(chosen)
    change = (log_probs[1:] - log_probs[0]).abs().reshape(rows, columns)
    return np.asarray(change, np.float32)


MAPS: dict[str, Map] = {
    "first-order": first_order,
    "gradient alone": gradient,
    "cell by cell": cell_by_cell,
}


def main() -> None:
    """Play, then time and compare the maps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--game", default="doom:basic")
    arguments = parser.parse_args()
    learning, device = Learning(), torch.device("cpu")
    with contextlib.closing(make_game(arguments.game, learning)) as game:
        spec = PolicySpec.of(game, learning)
        actor, network = Actor(spec, device=device), ActorCritic(spec).eval()
        weights = newest_weights(arguments.run) if arguments.run else None
        if weights:
            actor.load(weights)
        with actor._network.newest() as (newest, _):
            network.load_state_dict(newest.state_dict())
        played = list(_play(game, actor))
    milliseconds: dict[str, list[float]] = {name: [] for name in MAPS}
    agreement: dict[str, list[float]] = {name: [] for name in MAPS}
    for observation, decision in played:
        whole = cell_by_cell(network, observation, decision)
        for name, make in MAPS.items():
            agreement[name].append(_rank_correlation(make(network, observation, decision), whole))
    for number in range(ROUNDS):
        observation, decision = played[number % len(played)]
        for name, make in MAPS.items():
            began = time.thread_time()
            make(network, observation, decision)
            milliseconds[name].append(1e3 * (time.thread_time() - began))
    table = Table("map", "ms", f"of a core, one every {PERIOD_S} s", "rank correlation")
    for name in MAPS:
        cost = statistics.median(milliseconds[name])
        alike = statistics.median(agreement[name])
        table.add_row(name, f"{cost:.1f}", f"{cost / 1e3 / PERIOD_S:.1%}", f"{alike:.2f}")
    Console().print(table)


def _play(game: Game, actor: Actor) -> Iterator[tuple[NDArray[np.uint8], Decision]]:
    seeds = episode_seeds(0, Purpose.EVALUATION)
    observation = np.asarray(game.reset(next(seeds)))
    for _ in range(OBSERVATIONS):
        (decision,) = actor.act([observation], [0])
        yield observation, decision
        transition = game.step(decision.action)
        ended = transition.terminated or transition.truncated
        observation = np.asarray(game.reset(next(seeds)) if ended else transition.observation)


def _rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return Spearman's rank correlation."""
    ranks = [np.argsort(np.argsort(each, axis=None)) for each in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


if __name__ == "__main__":
    main()
