"""Returns of Mr. Rescue with policies that don't look: the bar for a policy that does.

``python -m benchmarks.simple_policies [--episodes 50]`` plays undrawn, at several numbers of tics a
step, and prints mean returns with their standard errors.
"""

import argparse
import contextlib
import random
import statistics
from collections.abc import Callable, Mapping

from rich.console import Console

from metabonk.desktop.catalog import load
from metabonk.desktop.definition import Definition
from metabonk.desktop.engine import Engine
from metabonk.desktop.engines import open_engine
from metabonk.games import Purpose, episode_seeds

GAME = "desktop:mrrescue"
DIRECTION_TICS = 240

Keys = tuple[str, ...]
Choose = Callable[[random.Random, int], Keys]


def at_random(definition: Definition) -> Choose:
    actions = list(definition.actions.values())
    return lambda chance, tics: chance.choice(actions)


def four_that_move(definition: Definition) -> Choose:
    """Return a policy that takes one of the four actions at random that walk without jumping."""
    names = ("left", "right", "water_left", "water_right")
    actions = [definition.actions[name] for name in names]
    return lambda chance, tics: chance.choice(actions)


def walking(definition: Definition) -> Choose:
    """Return a policy that walks and sprays, and takes a direction at random every four seconds."""
    way: Keys = ("d", "left")

    def choose(chance: random.Random, tics: int) -> Keys:
        nonlocal way
        if tics % DIRECTION_TICS < definition.clock.tics_per_step:
            way = chance.choice([("d", "left"), ("d", "right")])
        return way

    return choose


POLICIES: Mapping[str, Callable[[Definition], Choose]] = {
    "at random": at_random,
    "four that move": four_that_move,
    "walking": walking,
}


def play(engine: Engine, definition: Definition, choose: Choose, seed: int, held: int) -> float:
    """Return the score of an episode."""
    limit, tics, chance = round(definition.episode.limit_s * 60), 0, random.Random(seed)
    state = engine.reset(seed)
    while tics < limit and not state.over:
        state = engine.step(choose(chance, tics), min(held, limit - tics))
        tics += state.tics
    return state.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=50)
    arguments = parser.parse_args()
    console = Console(highlight=False)
    entry = load(GAME)
    definition = entry.definition
    with contextlib.closing(open_engine(entry, None)) as engine:
        for name, make in POLICIES.items():
            for held in (4, 6, 8, 12):
                seeds = episode_seeds(0, Purpose.EVALUATION)
                scores = [
                    play(engine, definition, make(definition), next(seeds), held)
                    for _ in range(arguments.episodes)
                ]
                error = statistics.stdev(scores) / len(scores) ** 0.5
                mean = statistics.fmean(scores)
                console.print(f"{name}, {held:2d} tics a step: {mean:.0f} ± {error:.0f}")


if __name__ == "__main__":
    main()
