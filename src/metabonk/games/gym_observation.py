"""The observation space of a Gymnasium environment, as a policy uses it.

A policy takes an image or a vector. Images stay images; everything else that consists of numbers
is flattened, as ``gymnasium.spaces.flatten`` does it: discrete values are one-hot, and parts of a
Dict or Tuple follow each other.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from metabonk.errors import GameError
from metabonk.games.game import Observation
from metabonk.games.gym_results import BadResult, describe
from metabonk.games.preprocessing import ObservationSpec, luminance, scale

log = logging.getLogger(__name__)

MAX_VECTOR_LENGTH = 4096
"""Longest vector observation."""

MIN_IMAGE_SIDE = 36
"""Smallest height and width that every convolutional encoder takes (``policy.encoders``)."""

MAX_OWN_SIDE = 128
"""Images up to this size are observed as the environment made them; larger ones are scaled."""

MAX_CHANNELS = 64


@dataclass(frozen=True)
class Observer:
    """Conversion of an environment's observations to a policy's.

    Attributes:
        shape: height, width, channels of a uint8 image; or length of a float32 vector.
        observe: converts the environment's observation; raises BadResult where that is not of its
            space.
        stackable: it is a single image, which shows no motion.
    """

    shape: tuple[int, ...]
    observe: Callable[[Any], NDArray[Any]]
    stackable: bool = False


class FrameStack:
    """The newest images as one, oldest channels first.

    Before as many have come, the first one stands for those before it (Mnih et al. 2015 stack
    four; Gymnasium's ``FrameStackObservation`` pads alike).

    Args:
        depth: number of images.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._images: list[NDArray[Any]] = []

    def reset(self) -> None:
        """Forget the images of the last episode."""
        self._images = []

    def push(self, image: NDArray[Any]) -> Observation:
        """Add the newest image, ``H×W×C``; return the stack, ``H×W×(depth·C)``."""
        if self._depth == 1:
            return image
        self._images = [*(self._images or [image] * self._depth)[1:], image]
        return np.concatenate(self._images, axis=2)


def own_observer(
    game: str, space: Space[Any], spec: ObservationSpec | None = None
) -> Observer | None:
    """Return how a policy observes what the environment returns; None if it can't.

    Args:
        game: id, for messages.
        space: of the observations.
        spec: size that images are scaled to; None: those over ``MAX_OWN_SIDE`` to 84×84.
    """
    return _image(space, spec) or _vector(game, space)


def vector_observer(game: str, space: Space[Any]) -> Observer:
    """Return how a policy observes what the environment returns, as a vector.

    Args:
        game: id, for messages.
        space: of the observations.

    Raises:
        GameError: the space has no numbers, or too many.
    """
    observer = _vector(game, space)
    if observer is None:
        raise GameError(
            f"{game} has the observation space {space}, which is no vector of 1 to "
            f"{MAX_VECTOR_LENGTH} numbers. Set learning.observation to 'auto' or 'pixels'"
        )
    return observer


def _vector(game: str, space: Space[Any]) -> Observer | None:
    numbers = _numbers(space)
    if numbers is None or not 1 <= (length := spaces.flatdim(numbers)) <= MAX_VECTOR_LENGTH:
        return None
    if numbers != space:
        log.info("%s: the policy sees only the numbers of %s", game, space)

    def observe(own: Any) -> NDArray[np.float32]:
        try:
            vector = np.array(spaces.flatten(numbers, _part(numbers, own)), np.float32)
        except (ValueError, TypeError, LookupError, AttributeError):
            raise _not_of(space, own) from None
        if vector.shape != (length,):
            raise _not_of(space, own)
        return vector

    return Observer((length,), observe)


def _numbers(space: Space[Any]) -> Space[Any] | None:
    """Return the part of a space that consists of numbers; None without one."""
    match space:
        case spaces.Box() | spaces.Discrete() | spaces.MultiDiscrete() | spaces.MultiBinary():
            return space
        case spaces.Dict():
            kept = {name: part for name, each in space.items() if (part := _numbers(each))}
            return spaces.Dict(kept) if kept else None
        case spaces.Tuple():
            parts = [part for each in space if (part := _numbers(each))]
            # Its parts are known by their places only.
            return space if len(parts) == len(space) else None
    return None


def _part(space: Space[Any], own: Any) -> Any:
    """Return the part of an observation that is in ``space``."""
    match space:
        case spaces.Dict():
            return {name: _part(each, own[name]) for name, each in space.items()}
        case spaces.Box():
            return np.asarray(own)  # Some return lists.
        case spaces.Discrete():
            number = int(np.asarray(own).item())  # Some return arrays.
            if not 0 <= number - space.start < space.n:
                raise ValueError
            return number
    return own


def _not_of(space: Space[Any], own: Any) -> BadResult:
    return BadResult(f"its observation is {describe(own)}, not of {space}")


def _image(space: Space[Any], spec: ObservationSpec | None) -> Observer | None:
    """Return the observer of images: H×W, H×W×C, C×H×W, or a stack of any of these."""
    if not isinstance(space, spaces.Box):
        return None
    to_uint8 = _pixel_values(space)
    order = _axes(space.shape)
    if to_uint8 is None or order is None:
        return None
    height, width, channels = order.shape
    kinds = "iu" if space.dtype.kind == "u" else "iuf"
    grayscale = spec is not None and spec.grayscale and channels == 3
    if spec is None and max(height, width) > MAX_OWN_SIDE:
        spec = ObservationSpec(84, 84)
    if spec is not None:
        height, width = spec.height, spec.width
    shape = height, width, 1 if grayscale else channels

    def observe(own: Any) -> NDArray[np.uint8]:
        array = np.asarray(own)
        # Floats in a space of bytes may be of another scale, and would be black.
        if array.shape != space.shape or array.dtype.kind not in kinds:
            raise _not_of(space, own)
        image = to_uint8(order.arrange(array))
        return np.ascontiguousarray(image) if spec is None else _scaled(image, spec, grayscale)

    return Observer(shape, observe, stackable=channels in (1, 3) and not order.stacked)


@dataclass(frozen=True)
class _Order:
    """Order of an image's axes: its shape as height, width, channels, and the rearrangement."""

    shape: tuple[int, int, int]
    arrange: Callable[[NDArray[Any]], NDArray[Any]]
    stacked: bool = False


def _axes(shape: tuple[int, ...]) -> _Order | None:
    match shape:
        case (height, width) if _is_large(height, width):
            return _Order((height, width, 1), lambda array: array[:, :, None])
        case (height, width, channels) if _is_large(height, width) and channels <= MAX_CHANNELS:
            return _Order((height, width, channels), lambda array: array)
        case (channels, height, width) if _is_large(height, width) and channels <= MAX_CHANNELS:
            return _Order((height, width, channels), lambda array: np.moveaxis(array, 0, -1))
        case (depth, *rest) if len(rest) == 3 and (inner := _axes(tuple(rest))):
            height, width, channels = inner.shape
            if depth * channels > MAX_CHANNELS:
                return None
            return _Order(
                (height, width, depth * channels),
                lambda array: np.concatenate([inner.arrange(each) for each in array], axis=2),
                stacked=True,
            )
    return None


def _is_large(height: int, width: int) -> bool:
    return min(height, width) >= MIN_IMAGE_SIDE


def _pixel_values(space: spaces.Box) -> Callable[[NDArray[Any]], NDArray[np.uint8]] | None:
    """Return the conversion of a space's values to 0 … 255; None if they are no brightness."""
    if space.dtype == np.uint8:
        return _clipped
    low, high = float(space.low.min()), float(space.high.max())
    if (low, high) == (0.0, 1.0):
        return lambda array: np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    if (low, high) == (0.0, 255.0):
        return lambda array: np.rint(np.clip(array, 0, 255)).astype(np.uint8)
    return None


def _clipped(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array if array.dtype == np.uint8 else np.clip(array, 0, 255).astype(np.uint8)


def _scaled(image: NDArray[np.uint8], spec: ObservationSpec, grayscale: bool) -> NDArray[np.uint8]:
    if grayscale:
        image = luminance(image)
    return scale(image, spec.width, spec.height)
