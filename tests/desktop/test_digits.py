"""Numbers read from pictures."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.desktop.catalog import load
from metabonk.desktop.definition import DigitsReward
from metabonk.desktop.digits import DigitReader, appears, learn, to_bits, to_glyph

ROWS = ("#.#.###", "###...#", "#.#.###")
THRESHOLD = 180


@cache
def reward() -> DigitsReward:
    """Return the reward of a game whose digits have a fixed width."""
    found = load("desktop:lbreakout2").definition.reward
    assert isinstance(found, DigitsReward)
    return found


def picture(
    number: str, *, gap: int = 0, brightness: int = 255, seed: int | None = 0
) -> NDArray[np.uint8]:
    """Draw a number with the glyphs of LBreakout2, to the right, on a noisy background."""
    cells = [to_bits(reward().glyphs[digit]) for digit in number]
    wide = [
        np.pad(cell[:, cell.any(axis=0)], ((0, 0), (0, gap))) if gap else cell for cell in cells
    ]
    bits = np.concatenate(wide, axis=1)
    width = max(48, bits.shape[1])
    noise = np.random.default_rng(seed).integers(0, THRESHOLD, (9, width, 3), np.uint8)
    noise[:, width - bits.shape[1] :][bits] = (brightness, brightness // 2, 0)
    return noise


def test_a_thousand_numbers_of_fixed_width_are_read_right():
    reader = DigitReader(reward().glyphs, THRESHOLD, pitch=8)
    numbers = np.random.default_rng(1).integers(0, 10 ** np.arange(1, 7)[:, None], (6, 167)).ravel()
    read = [reader.read(picture(str(number), seed=number)) for number in numbers[:1000]]
    assert read == numbers[:1000].tolist()


def test_digits_are_separated_by_gaps_where_they_have_no_fixed_width():
    glyphs = {"0": ("###", "#.#", "###"), "1": ("#", "#", "#"), "7": ("###", "..#", "..#")}
    bits = np.concatenate(
        [np.pad(to_bits(glyphs[digit]), ((1, 1), (1, 0))) for digit in "70110"], axis=1
    )
    pixels = np.repeat(bits[:, :, None], 3, axis=2).astype(np.uint8) * 255
    assert DigitReader(glyphs, 128).read(pixels) == 70110


def test_a_picture_without_a_number_is_none():
    reader = DigitReader(reward().glyphs, THRESHOLD, pitch=8)
    assert reader.read(np.zeros((9, 48, 3), np.uint8)) is None
    assert reader.read(np.full((9, 48, 3), 255, np.uint8)) is None
    assert DigitReader({}, THRESHOLD, pitch=8).read(picture("123")) is None
    covered = picture("123")
    covered[:, 30:36] = 255
    assert reader.read(covered) is None


def test_glyphs_are_learned_from_labelled_pictures():
    examples = [(picture(number), number) for number in ("102", "345", "678", "990")]
    learned = learn(examples, THRESHOLD, pitch=8)
    assert learned == reward().glyphs
    with pytest.raises(ValueError, match=r"the picture of 12 has 3 separate parts, not 2"):
        learn([(picture("102"), "12")], THRESHOLD, pitch=8)


def test_a_noisy_example_is_outvoted():
    noisy = picture("888")
    noisy[2, 30] = 255
    learned = learn([(picture("888"), "888"), (noisy, "888")], THRESHOLD, pitch=8)
    assert learned["8"] == reward().glyphs["8"]


def test_a_sign_is_there_or_not():
    bits = to_bits(ROWS)
    shown = np.repeat(bits[:, :, None], 3, axis=2).astype(np.uint8) * 200
    assert appears(shown, ROWS, 200)
    assert not appears(shown, ROWS, 201)
    assert not appears(np.zeros_like(shown), ROWS, 200)
    assert not appears(np.full_like(shown, 255), ROWS, 200)
    assert to_glyph(bits) == ROWS
