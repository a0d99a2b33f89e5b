"""PyTorch's conversion, checked in double precision and against FFmpeg's."""

import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from metabonk.encoding.backends.nv12 import Nv12

WIDTH, HEIGHT = 96, 54


def convert(
    pixels: NDArray[np.uint8], width: int = WIDTH, height: int = HEIGHT, stride: int = 0
) -> NDArray[np.uint8]:
    buffer = torch.zeros(height * 3 // 2, stride or width, dtype=torch.uint8)
    out = buffer[:, :width]
    converter = Nv12(width, height, torch.device("cpu"))
    converter.convert(torch.from_numpy(pixels), out[:height], out[height:])
    return out.numpy()


def smooth(width: int, height: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 255 // width, y * 255 // height, 255 - (x + y) * 255 // (width + height)]
    return np.stack(planes, 2).astype(np.uint8)


def test_every_value_is_correctly_rounded():
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    red, green, blue = pixels.astype(float).transpose(2, 0, 1)
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    found = convert(pixels).astype(float)
    assert np.abs(found[:HEIGHT] - (16 + 219 / 255 * y)).max() < 0.501
    for place, (colour, part) in enumerate([(blue, 0.0722), (red, 0.2126)]):
        halved = (colour - y).reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean((1, 3))
        exact = 128 + 224 / 255 * halved / (2 - 2 * part)
        assert np.abs(found[HEIGHT:, place::2] - exact).max() < 0.501


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (64, 36), (192, 108), (97, 55)])
def test_ffmpeg_restores_the_original_image_whatever_its_size(size: tuple[int, int]):
    found = VideoFrame.from_ndarray(convert(smooth(*size)), format="nv12")
    found.colorspace, found.color_range = 1, 1
    shown = found.to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown - smooth(WIDTH, HEIGHT)).mean() < 3


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (63, 102, 240)),
    ],
)
def test_black_white_and_red_have_the_values_of_bt709(
    colour: tuple[int, int, int], expected: tuple[int, int, int]
):
    found = convert(np.full((HEIGHT, WIDTH, 3), colour, np.uint8))
    assert (found[0, 0], found[HEIGHT, 0], found[HEIGHT, 1]) == expected


def test_rows_may_be_padded_as_in_device_memory():
    pixels = smooth(WIDTH, HEIGHT)
    assert np.array_equal(convert(pixels, stride=512), convert(pixels))
