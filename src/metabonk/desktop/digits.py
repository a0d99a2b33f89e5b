"""Reading a number from a picture, by templates of its digits. Pure.

Games draw their score with one font at one place. A digit is a cell of fixed width, or else what
lies between two columns without any bright pixel.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bits: TypeAlias = NDArray[np.bool_]
Glyph: TypeAlias = tuple[str, ...]
"""A digit as rows of text: ``#`` is a bright pixel, ``.`` another."""

MAX_RESIZED = 2
"""Pixels by which a digit may be wider, narrower, higher or lower than its template."""

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
        self._digits = list(glyphs)
        self._templates = _Templates([to_bits(glyph) for glyph in glyphs.values()])
        self._threshold = threshold

    def read(self, pixels: NDArray[np.uint8]) -> int | None:
        """Return the number in an image, ``H×W×3`` RGB; None where it has no number."""
        digits = [self._digit(part) for part in split(bright(pixels, self._threshold), self._pitch)]
        if not digits or None in digits:
            return None
        return int("".join(digit for digit in digits if digit is not None))

    def _digit(self, part: Bits) -> str | None:
        wrong = self._templates.differences(part)
        return self._digits[wrong.argmin()] if wrong.min(initial=1.0) <= MAX_WRONG else None


def appears(pixels: NDArray[np.uint8], rows: Glyph, threshold: int) -> bool:
    """Tell whether an image, ``H×W×3`` RGB, is bright where a template is."""
    wrong = _Templates([to_bits(rows)]).differences(bright(pixels, threshold))
    return bool(wrong[0] <= MAX_WRONG)


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


class _Templates:
    """Some pictures, compared with another one all at once."""

    def __init__(self, templates: Sequence[Bits]) -> None:
        self._sizes = np.array([each.shape for each in templates], int).reshape(-1, 2)
        height, width = self._sizes.max(axis=0, initial=0) + MAX_RESIZED
        padded = [_pad(each, height, width) for each in templates]
        self._padded = np.array(padded, bool).reshape(-1, height, width)

    def differences(self, part: Bits) -> NDArray[np.float64]:
        """Return the share of bright pixels that only ``part`` or a template has, for each of them.

        Both are laid upon the upper left corner; 1 where their sizes differ by too much.
        """
        fits = np.all(np.abs(self._sizes - part.shape) <= MAX_RESIZED, axis=1)
        if not fits.any():
            return np.ones(len(self._sizes))
        padded = _pad(part, *self._padded.shape[1:])
        wrong = (self._padded != padded).sum(axis=(1, 2))
        either = (self._padded | padded).sum(axis=(1, 2))
        return np.where(fits, wrong / np.maximum(1, either), 1.0)


def _pad(bits: Bits, height: int, width: int) -> Bits:
    padded = np.zeros((height, width), bool)
    padded[: bits.shape[0], : bits.shape[1]] = bits
    return padded
