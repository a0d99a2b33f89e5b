"""Plot of learning curves from the JSON files of ``benchmarks.learning``.

``python -m benchmarks.curves OUTPUT.svg TARGET FILE.json …`` draws one line per file, and a dashed
one at the target return.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 260, 52, 28, 30, 34
COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed")

Curve: TypeAlias = Sequence[tuple[float, float]]


def draw(
    curves: Mapping[str, Sequence[Curve]], target: float, title: str = "", top: int = 0
) -> str:
    """Return an SVG plot of the mean return of the last 100 episodes over seconds.

    Args:
        curves: of each name; those of one name have one colour.
        target: return at which a dashed line is drawn.
        title: drawn above.
        top: vertical position in an enclosing ``stack``.
    """
    points = [point for named in curves.values() for curve in named for point in curve]
    seconds = max((second for second, _ in points), default=1.0)
    returns = [value for _, value in points] + [target]
    low, high = min(returns), max(max(returns), min(returns) + 1e-6)

    def x(second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * second / seconds

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    def line(one: tuple[float, float], other: tuple[float, float], style: str) -> str:
        ends = f'x1="{one[0]:.1f}" y1="{one[1]:.1f}" x2="{other[0]:.1f}" y2="{other[1]:.1f}"'
        return f"<line {ends} {style}/>"

    def text(at: tuple[float, float], words: str, anchor: str, colour: str = "#555") -> str:
        place = f'x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}" fill="{colour}"'
        return f"<text {place}>{escape(words)}</text>"

    grey = 'stroke="#ddd"'
    parts = []
    for step in range(5):
        value = low + (high - low) * step / 4
        parts.append(line((LEFT, y(value)), (WIDTH - RIGHT, y(value)), grey))
        parts.append(text((LEFT - 6, y(value) + 4), f"{value:.4g}", "end"))
        second = seconds * step / 4
        parts.append(text((x(second), HEIGHT - BOTTOM + 18), f"{second:.0f} s", "middle"))
    dashed = 'stroke="#111" stroke-dasharray="5 4"'
    parts.append(line((LEFT, y(target)), (WIDTH - RIGHT, y(target)), dashed))
    for number, (name, named) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        style = f'stroke="{colour}" stroke-width="2"'
        for curve in named:
            for one, other in pairwise(curve):
                parts.append(line((x(one[0]), y(one[1])), (x(other[0]), y(other[1])), style))
        parts.append(text((LEFT + 150 * number, 18), name, "start", colour))
    parts.append(text((WIDTH - RIGHT, 18), title, "end"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" y="{top}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{"".join(parts)}</svg>\n'
    )


def stack(plots: Sequence[Callable[[int], str]]) -> str:
    """Return one SVG with plots below each other; each is drawn at the position it is given."""
    height = HEIGHT * len(plots)
    inner = "".join(plot(HEIGHT * number) for number, plot in enumerate(plots))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">\n{inner}</svg>\n'
    )


def main() -> None:
    """Read the files and write the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("target", type=float)
    parser.add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    curves = {
        file.stem: [
            [
                (point["seconds"], point["mean_return"])
                for point in json.loads(file.read_text())["curve"]
            ]
        ]
        for file in arguments.files
    }
    arguments.output.write_text(draw(curves, arguments.target))


if __name__ == "__main__":
    main()
