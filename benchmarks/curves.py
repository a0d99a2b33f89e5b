"""Plot of learning curves from the JSON files of ``benchmarks.learning``.

``python -m benchmarks.curves OUTPUT.svg TARGET FILE.json …`` draws one line per file, and a dashed
one at the target return.
"""

import argparse
import json
from html import escape
from itertools import pairwise
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 260, 52, 28, 30, 34
COLOURS = ("#2563eb", "#d97706", "#059669", "#7c3aed")

Curve = list[tuple[float, float]]


def draw(curves: dict[str, Curve], target: float) -> str:
    """Return an SVG plot of the mean return of the last 100 episodes over seconds."""
    seconds = max(second for curve in curves.values() for second, _ in curve)
    returns = [value for curve in curves.values() for _, value in curve] + [target]
    low, high = min(returns), max(returns)

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
        parts.append(text((LEFT - 6, y(value) + 4), f"{value:.0f}", "end"))
        second = seconds * step / 4
        parts.append(text((x(second), HEIGHT - BOTTOM + 18), f"{second:.0f} s", "middle"))
    dashed = 'stroke="#111" stroke-dasharray="5 4"'
    parts.append(line((LEFT, y(target)), (WIDTH - RIGHT, y(target)), dashed))
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        style = f'stroke="{colour}" stroke-width="2"'
        for one, other in pairwise(curve):
            parts.append(line((x(one[0]), y(one[1])), (x(other[0]), y(other[1])), style))
        parts.append(text((LEFT + 150 * number, 18), name, "start", colour))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" '
        f'fill="white"/>{"".join(parts)}</svg>\n'
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
            (point["seconds"], point["mean_return"])
            for point in json.loads(file.read_text())["curve"]
        ]
        for file in arguments.files
    }
    arguments.output.write_text(draw(curves, arguments.target))


if __name__ == "__main__":
    main()
