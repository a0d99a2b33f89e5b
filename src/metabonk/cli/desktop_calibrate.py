"""``metabonk desktop calibrate``: learn the digits of a score from pictures that a person reads."""

import contextlib
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metabonk.desktop.catalog import Entry, load, missing_digits, require_installed
from metabonk.desktop.definition import DigitsReward
from metabonk.desktop.digits import DigitReader, Glyph, bright, learn, split, to_glyph
from metabonk.desktop.screen_engine import ScreenEngine
from metabonk.errors import GameStartError
from metabonk.printable import printable

STOP = "q"


def run(game_id: str, seconds: float) -> int:
    """Play at random, ask about numbers with unknown digits, and add the digits to the definition.

    Returns:
        0 once all digits are known, else 1.

    Raises:
        GameError: the definition can't be used, or the game broke.
    """
    entry = load(game_id)
    reward = entry.definition.reward
    if not isinstance(reward, DigitsReward):
        raise GameStartError(f"{game_id} reads no digits: reward.from is not 'digits'")
    require_installed(entry)
    with contextlib.closing(ScreenEngine(entry, entry.definition.largest_size)) as engine:
        glyphs = calibrate(reward, _pictures(engine, entry, seconds), _ask)
    missing = missing_digits(glyphs)
    if missing:
        _print(f"not seen yet: {', '.join(missing)}; start again, or play longer with --seconds")
    _save(entry, reward, glyphs)
    return int(bool(missing))


def calibrate(
    reward: DigitsReward,
    pictures: Iterator[NDArray[np.uint8]],
    ask: Callable[[Glyph], str],
) -> dict[str, Glyph]:
    """Return the glyphs of all digits that were seen.

    Args:
        reward: what is known already.
        pictures: of the score.
        ask: returns the number in a picture; empty to leave it out, ``q`` to stop.
    """
    glyphs: dict[str, Glyph] = dict(reward.glyphs)
    examples: list[tuple[NDArray[np.uint8], str]] = []
    asked: set[bytes] = set()
    for pixels in pictures:
        bits = bright(pixels, reward.threshold)
        reader = DigitReader(glyphs, reward.threshold, reward.pitch)
        is_new = bits.tobytes() not in asked and any(True for _ in split(bits, reward.pitch))
        if not is_new or reader.read(pixels) is not None:
            continue
        asked.add(bits.tobytes())
        number = ask(to_glyph(bits))
        if number == STOP:
            break
        if not number.isdecimal():
            continue
        try:
            glyphs |= learn([*examples, (pixels, number)], reward.threshold, reward.pitch)
        except ValueError as error:
            _print(str(error))
            continue
        examples.append((pixels, number))
        if not missing_digits(glyphs):
            break
    return glyphs


def as_toml(glyphs: Mapping[str, Glyph]) -> str:
    """Return the section of a definition that holds these glyphs."""
    lines = ["[reward.glyphs]"]
    for digit in sorted(glyphs):
        lines += [f"{digit} = [", *(f'  "{row}",' for row in glyphs[digit]), "]"]
    return "\n".join(lines)


def _pictures(engine: ScreenEngine, entry: Entry, seconds: float) -> Iterator[NDArray[np.uint8]]:
    """Yield the score's region while the game is played at random."""
    definition, choose = entry.definition, random.Random(0)
    end = time.monotonic() + seconds
    engine.reset(0)
    while time.monotonic() < end:
        keys = choose.choice(tuple(definition.actions.values()))
        if engine.step(keys, definition.clock.tics_per_step).over:
            return
        yield engine.region()


def _ask(rows: Glyph) -> str:
    _print("\n".join(rows))
    sys.stdout.write(f"which number is this? (Enter: none, {STOP}: stop) ")
    sys.stdout.flush()
    return sys.stdin.readline().strip() or ("" if sys.stdin.isatty() else STOP)


def _save(entry: Entry, reward: DigitsReward, glyphs: Mapping[str, Glyph]) -> None:
    """Add glyphs to a definition that has none; else print them."""
    text, file = as_toml(glyphs), Path(entry.file)
    if reward.glyphs or not glyphs:
        _print(text)
        return
    with file.open("a", encoding="utf-8") as stream:
        stream.write(f"\n{text}\n")
    _print(f"{len(glyphs)} digits were added to {file}")


def _print(line: str) -> None:
    sys.stdout.write("".join(f"{printable(each)}\n" for each in line.split("\n")))
