"""Scores of LBreakout2, read from its screen while it is played at random.

``python -m benchmarks.digits [--pictures 1000]`` prints how many pictures were read, and how many
of their numbers can't be right: LBreakout2 counts a score up tic by tic, so a number below the one
before, or further above it than the game counts in a step, was misread. Pictures that were taken
while the game drew its score anew have no bright pixel, and so no number to read.
"""

import argparse
import contextlib
import random

from rich.console import Console
from tests.support.lbreakout import LBREAKOUT

from metabonk.desktop.catalog import load
from metabonk.desktop.definition import DigitsReward
from metabonk.desktop.digits import DigitReader, bright
from metabonk.desktop.screen_engine import ScreenEngine

TICS = 2
LARGEST_GROWTH = 60


BLANK = -1
"""Stands for the number of a picture that has none."""


def play(wanted: int, seed: int) -> list[int | None]:
    """Play a game; return the numbers read from its pictures, None where one was not read."""
    entry = load(LBREAKOUT)
    reward = entry.definition.reward
    assert isinstance(reward, DigitsReward)
    reader = DigitReader(reward.glyphs, reward.threshold, reward.pitch)
    choose, numbers = random.Random(seed), list[int | None]()
    with contextlib.closing(ScreenEngine(entry, None)) as game:
        game.reset(seed)
        while len(numbers) < wanted:
            if game.step(choose.choice([("space",), ("Left",), ("Right",)]), TICS).over:
                break
            region = game.region()
            is_blank = not bright(region, reward.threshold).any()
            numbers.append(BLANK if is_blank else reader.read(region))
    return numbers


def misread(numbers: list[int | None]) -> int:
    """Return how many numbers of a game can't follow the one before."""
    before, wrong = 0, 0
    for number in numbers:
        if number is None or number == BLANK:
            continue
        wrong += not before <= number <= before + LARGEST_GROWTH
        before = number
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    arguments = parser.parse_args()
    console = Console(highlight=False)
    games: list[list[int | None]] = []
    while (pictures := sum(map(len, games))) < arguments.pictures:
        games.append(play(arguments.pictures - pictures, len(games)))
        numbers = [number for game in games for number in game]
        console.print(
            f"{len(numbers)} pictures of {len(games)} games: {numbers.count(BLANK)} blank, "
            f"{numbers.count(None)} not read, {sum(map(misread, games))} misread, "
            f"{len({*numbers} - {None, BLANK})} different numbers"
        )


if __name__ == "__main__":
    main()
