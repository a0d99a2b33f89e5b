"""How far LBreakout2's ball flies in a step, with a fast policy and with a slow one.

``python -m benchmarks.frozen_clock [--episodes 4]`` plays episodes with either in turn, and prints
medians, and how many steps are within a tic of the fast policy's median.
"""

import argparse
import contextlib
import os
import statistics
from collections.abc import Sequence

from rich.console import Console
from tests.support.lbreakout import LBREAKOUT, TICS, distances

from metabonk.desktop.catalog import load
from metabonk.desktop.engines import open_engine

PAUSES_S = (0.005, 0.5)
STEPS = 26


def within(moves: Sequence[float], median: float) -> int:
    """Return how many moves are within a tic of the median."""
    return sum(abs(each - median) <= median / TICS for each in moves)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=4)
    arguments = parser.parse_args()
    console = Console(highlight=False)
    moves: dict[float, list[float]] = {pause_s: [] for pause_s in PAUSES_S}
    for _ in range(arguments.episodes):
        for pause_s, flown in moves.items():
            with contextlib.closing(open_engine(load(LBREAKOUT), None)) as game:
                flown += distances(game, pause_s, steps=STEPS)
    median = statistics.median(moves[PAUSES_S[0]])
    for pause_s, flown in moves.items():
        console.print(
            f"policy of {1000 * pause_s:3.0f} ms: {statistics.median(flown):5.2f} pixels a step, "
            f"{min(flown):.2f} to {max(flown):.2f}; {within(flown, median)} of {len(flown)} within "
            "a tic"
        )
    console.print(f"load average {os.getloadavg()[0]:.0f}")


if __name__ == "__main__":
    main()
