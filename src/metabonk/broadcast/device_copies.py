"""Numbers and images of a batched simulator, on their way from a GPU's memory.

Nothing here waits for the GPU: copies are begun in a step, and looked at in those that follow.
PyTorch is used where the simulator has imported it.
"""

import sys
from collections import deque
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

BATCH = 256
"""Steps that are copied together at most."""

Outcome: TypeAlias = tuple[float, bool, bool]
"""Reward, terminated, truncated."""


class Drawn(NamedTuple):
    """An image.

    Attributes:
        image: on a GPU or not.
        at: seconds on ``time.monotonic()``.
        took_s: to draw it.
    """

    image: Any
    at: float
    took_s: float


def is_on_device(value: Any) -> bool:
    """Tell whether this is a tensor of PyTorch in a GPU's memory."""
    return _is_tensor(value) and value.device.type != "cpu"


def as_array(value: Any) -> NDArray[Any]:
    """Return an array, or a tensor in this process's memory, as an array."""
    return value.detach().numpy() if _is_tensor(value) else np.asarray(value)


class StepCopies:
    """Outcomes of one simulator's steps, and images, that are being copied.

    Several are under way if the GPU is far behind, and come in their order.
    """

    def __init__(self) -> None:
        self._torch: Any = sys.modules["torch"]
        self._open: _Batch | None = None
        self._under_way = deque[_Batch]()
        self._free = list[_Batch]()

    def add(self, outcome: tuple[Any, Any, Any], drawn: Drawn | None = None) -> None:
        """Begin to copy what a step came out as.

        Args:
            outcome: reward, terminated, truncated: of one number each, on a GPU or not.
            drawn: image of it; a batch ends with one.
        """
        if self._open is None:
            self._open = self._free.pop() if self._free else _Batch(self._torch)
        self._open.add(outcome)
        if drawn is not None or self._open.count == BATCH:
            self._open.seal(drawn)
            self._under_way.append(self._open)
            self._open = None

    def take(self) -> list[tuple[list[Outcome], Drawn | None]]:
        """Return the batches that have arrived: their outcomes, and the image of the last one."""
        arrived = []
        while self._under_way and self._under_way[0].has_arrived():
            batch = self._under_way.popleft()
            arrived.append(batch.content())
            self._free.append(batch)
        return arrived


class _Batch:
    """Page-locked memory for some steps and an image, to which a GPU copies."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._numbers = torch.empty((BATCH, 3), dtype=torch.float64, pin_memory=True)
        self._event = torch.cuda.Event()
        self._device: Any = None
        self._drawn: Drawn | None = None
        self.count = 0

    def add(self, outcome: tuple[Any, Any, Any]) -> None:
        row = self._numbers[self.count]
        for number, each in enumerate(outcome):
            if is_on_device(each):
                self._device = each.device
                row[number].copy_(each.detach().reshape(()), non_blocking=True)
            else:
                row[number] = float(each)
        self.count += 1

    def seal(self, drawn: Drawn | None) -> None:
        """Say that nothing more is added."""
        if drawn is not None:
            image = drawn.image
            if is_on_device(image):
                self._device = image.device
                # PyTorch has page-locked memory for it.
                image = image.detach().to("cpu", non_blocking=True)
            else:
                image = as_array(image).copy()
            self._drawn = drawn._replace(image=image)
        self._event.record(self._torch.cuda.current_stream(self._device))

    def has_arrived(self) -> bool:
        return bool(self._event.query())

    def content(self) -> tuple[list[Outcome], Drawn | None]:
        """Return what has arrived, and be empty."""
        steps = [
            (reward, bool(terminated), bool(truncated))
            for reward, terminated, truncated in self._numbers[: self.count].tolist()
        ]
        drawn = self._drawn
        self.count, self._drawn = 0, None
        return steps, drawn


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
