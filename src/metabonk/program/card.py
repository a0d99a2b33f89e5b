"""The card that is shown where nobody is live: "back in a moment"."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from metabonk.encoding.access_unit import AccessUnit
from metabonk.encoding.backends.av import AvEncoder
from metabonk.encoding.encoder import EncoderSettings
from metabonk.frame import Frame

CODEC = "libx264"
FPS = 15
"""Players keep up with a steady clock; a repeated picture takes two milliseconds to encode."""

TITLE, SUBTITLE = "Back in a moment", "no worker is live"
BACKGROUND, BRIGHT, DIM = (14, 17, 22), (236, 239, 244), (139, 148, 158)


def draw(width: int, height: int) -> NDArray[np.uint8]:
    """Return the card as ``H×W×3`` RGB."""
    image = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(image)
    for text, size, colour, at in (
        (TITLE, height / 14, BRIGHT, 0.47),
        (SUBTITLE, height / 32, DIM, 0.57),
    ):
        font = ImageFont.load_default(size)
        pen.text((width / 2, height * at), text, colour, font, anchor="mm")
    return np.asarray(image)


class Card:
    """Encodes the card, a frame at a time.

    Args:
        settings: of the program.

    Raises:
        EncoderUnavailable: there is no software encoder.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self._pixels = draw(settings.width, settings.height)
        self._encoder = AvEncoder(settings, CODEC)
        self._gop_s = settings.gop_s
        self._keyframe_at = float("-inf")

    def frame(self, now: float, *, keyframe: bool) -> list[AccessUnit]:
        """Return the next access unit.

        Args:
            now: later than the one before, monotonic seconds.
            keyframe: decoding has to start with it.
        """
        keyframe = keyframe or now - self._keyframe_at >= self._gop_s
        if keyframe:
            self._keyframe_at = now
        return self._encoder.encode(Frame(self._pixels, now), keyframe=keyframe)
