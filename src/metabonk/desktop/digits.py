"""Reading a number from a picture, by templates of its digits. Pure.

Games draw their score with one font at one place. A digit is a cell of fixed width, or else what
lies between two columns without any bright pixel.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bits: TypeAlias = NDArray[np.bool_]
Glyph: TypeAlias = tuple[str, ...]
"""A digit as rows of text: ``#`` is a bright pixel, ``.`` another."""

MAX_WRONG = 0.3
"""Share of the pixels bright in a picture or its template that may be so in one only:
fonts are drawn alike, on changing backgrounds."""


def bright(pixels: NDArray[np.uint8], threshold: int) -> Bits:
    """Return which pixels of an image, ``H×W×3`` RGB, are as bright as ``threshold`` or brighter.

    The brightest of its channels counts for a pixel, so that colored digits are as bright as white.
    """
    return np.asarray(pixels.max(axis=2) >= threshold)


def split(bits: Bits, pitch: int = 0) -> Iterator[Bits]:
    """Yield the parts of an image that may be digits.

    Args:
        bits: of the image.
        pitch: width of a digit with its gap; 0: digits are between columns without a bright pixel.
    """
    if pitch:
        cells = (bits[:, start : start + pitch] for start in range(0, bits.shape[1], pitch))
        yield from (cell for cell in cells if cell.any())
        return
    columns = np.concatenate(([False], bits.any(axis=0), [False]))
    edges = np.flatnonzero(np.diff(columns))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        part = bits[:, start:end]
        rows = np.flatnonzero(part.any(axis=1))
        yield part[rows[0] : rows[-1] + 1]


class DigitReader:
    """Reads numbers.

    Args:
        glyphs: of the digits, by digit.
        threshold: brightness from which a pixel belongs to a digit, 1 to 255.
        pitch: see ``split``.
    """

    def __init__(self, glyphs: Mapping[str, Glyph], threshold: int, pitch: int = 0) -> None:
        self._pitch = pitch
        self._templates = {digit: to_bits(glyph) for digit, glyph in glyphs.items()}
        self._threshold = threshold

    def read(self, pixels: NDArray[np.uint8]) -> int | None:
        """Return the number in an image, ``H×W×3`` RGB; None where it has no number."""
        digits = [self._digit(part) for part in split(bright(pixels, self._threshold), self._pitch)]
        if not digits or None in digits:
            return None
        return int("".join(digit for digit in digits if digit is not None))

    def _digit(self, part: Bits) -> str | None:
        digit, wrong = min(
            ((digit, _difference(part, template)) for digit, template in self._templates.items()),
            key=lambda each: each[1],
            default=(None, 1.0),
        )
        return digit if wrong <= MAX_WRONG else None


def appears(pixels: NDArray[np.uint8], rows: Glyph, threshold: int) -> bool:
    """Tell whether an image, ``H×W×3`` RGB, is bright where a template is."""
    return _difference(bright(pixels, threshold), to_bits(rows)) <= MAX_WRONG


def learn(
    examples: Iterable[tuple[NDArray[np.uint8], str]], threshold: int, pitch: int = 0
) -> dict[str, Glyph]:
    """Return the glyphs of the digits in some images, given with the numbers that they show.

    Of several examples of a digit, each pixel is as most of them have it.

    Raises:
        ValueError: an image has another number of parts than its number has digits.
    """
    found: dict[str, list[Bits]] = {}
    for pixels, number in examples:
        parts = list(split(bright(pixels, threshold), pitch))
        if len(parts) != len(number):
            raise ValueError(
                f"the picture of {number} has {len(parts)} separate parts, not {len(number)}: "
                "choose another region, threshold or pitch"
            )
        for digit, part in zip(number, parts, strict=True):
            found.setdefault(digit, []).append(part)
    return {digit: to_glyph(_majority(found[digit])) for digit in sorted(found)}


def to_bits(glyph: Glyph) -> Bits:
    """Return a glyph's pixels."""
    return np.array([[each == "#" for each in row] for row in glyph])


def to_glyph(bits: Bits) -> Glyph:
    """Return pixels as rows of text."""
    return tuple("".join("#" if each else "." for each in row) for row in bits)


def _majority(parts: list[Bits]) -> Bits:
    sizes = [part.shape for part in parts]
    size = max(set(sizes), key=sizes.count)
    same = [part for part in parts if part.shape == size]
    return np.asarray(np.mean(same, axis=0) >= 0.5)


def _difference(part: Bits, template: Bits) -> float:
    """Return the share of bright pixels that only one has, both laid upon the upper left corner."""
    height, width = np.maximum(part.shape, template.shape)
    if abs(part.shape[1] - template.shape[1]) > 2 or abs(part.shape[0] - template.shape[0]) > 2:
        return 1.0
    first, second = (
        np.pad(each, ((0, height - each.shape[0]), (0, width - each.shape[1])))
        for each in (part, template)
    )
    return float((first != second).sum() / max(1, (first | second).sum()))
