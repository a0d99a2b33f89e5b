"""One drawn frame: made by a game, read by the policy, shown to viewers.

It stays in host memory until it is asked for on a GPU, and is uploaded there once.
"""

import importlib
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabonk.messages.streams import Thought


class Frame:
    """A drawn frame.

    Args:
        pixels: ``H×W×3`` uint8 RGB. Nobody may write to it any more.
        captured_at: when it was drawn, seconds on ``time.monotonic()``; the media clock.

    Attributes:
        thoughts: of the policy at the step that led to it, and at those of dropped frames before.
    """

    __slots__ = ("_lock", "_uploaded", "captured_at", "pixels", "thoughts")

    def __init__(self, pixels: NDArray[np.uint8], captured_at: float) -> None:
        self.pixels = pixels
        self.captured_at = captured_at
        self.thoughts: tuple[Thought, ...] = ()
        self._lock = threading.Lock()
        self._uploaded: tuple[Any, Any] | None = None

    @property
    def width(self) -> int:
        """Pixels per row."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    def repeat(self, captured_at: float) -> "Frame":
        """Return the same picture at a later time, without thoughts; it shares the upload."""
        twin = Frame(self.pixels, captured_at)
        with self._lock:
            twin._uploaded = self._uploaded
        return twin

    def on(self, device: Any) -> Any:
        """Return the frame as a tensor on a device, uploading it the first time.

        The upload is only enqueued, in the device's frame stream (``metabonk.device_frames``).

        Args:
            device: a ``torch.device``.

        Returns:
            ``H×W×3`` uint8 tensor.
        """
        with self._lock:
            if self._uploaded is None or self._uploaded[0] != device:
                # Imported on demand: only frames on a GPU need PyTorch.
                module = importlib.import_module("metabonk.device_frames")
                self._uploaded = device, module.on_device(self.pixels, device)
            return self._uploaded[1]
