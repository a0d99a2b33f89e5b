"""Synthetic frames, and access units of them from a real encoder."""

from collections.abc import Container, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.backends.av import AvEncoder
from metabonk.encoding.encoder import EncoderSettings
from metabonk.frame import Frame
from metabonk.games import FrameSink

WIDTH, HEIGHT = 320, 180
SETTINGS = EncoderSettings(width=WIDTH, height=HEIGHT, fps=30, bitrate=1_000_000, gop_s=2.0)


def brightness(number: int) -> int:
    """Return the left half's brightness, which identifies a decoded frame."""
    return 20 + number * 7 % 200


def draw(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return frame ``number``: its brightness on the left, a moving bar on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = brightness(number)
    at = width // 2 + number * 8 % (width // 2)
    pixels[:, at : at + width // 20] = (255, 120, 0)
    return pixels


def noise(seed: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Return random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def drawing_into(frames: list[Frame]) -> FrameSink:
    """Return a sink that has every tic drawn and keeps the frames."""
    return lambda draw: frames.append(draw())


def open_encoder(width: int = WIDTH, height: int = HEIGHT, gop_s: float = 30.0) -> AvEncoder:
    return AvEncoder(
        EncoderSettings(width=width, height=height, fps=30, bitrate=1_000_000, gop_s=gop_s),
        "libx264",
    )


def encode_frames(
    times: Sequence[float], *, keyframes: Container[int] = (), size: tuple[int, int] = (320, 180)
) -> list[AccessUnit]:
    """Return the units of frames 0, 1, … captured at ``times``; the first is a keyframe."""
    encoder = open_encoder(*size)
    units = [
        unit
        for i, at in enumerate(times)
        for unit in encoder.encode(Frame(draw(i, *size), at), keyframe=i in keyframes)
    ]
    encoder.close()
    return units


def regular_times(count: int, fps: float = 30.0) -> list[float]:
    return [1000 + i / fps for i in range(count)]


def padded(unit: AccessUnit, size: int) -> AccessUnit:
    """Return the unit with ``size`` bytes of user data (SEI), which decoders skip."""
    user_data, more = 5, b"\xff" * (size // 255) + bytes([size % 255])
    message = b"\0\0\1\x06" + bytes([user_data]) + more + b"\xff" * size + b"\x80"
    return replace(unit, data=message + unit.data)
