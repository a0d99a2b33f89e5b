"""The adapter's side of MetaBonk: a game whose engine moves when it is told.

An adapter is code inside the game. It opens the files that environment variables name:

``METABONK_REQUESTS``  a pipe: one line for each request
``METABONK_REPLIES``   a pipe: one line for each reply
``METABONK_FRAME``     a file to map: receives the pixels, ``H×W×4`` RGBA, first row first

====================  ==============================================================
request               reply
====================  ==============================================================
(none, at the start)  ``ready 1``: the game is loaded
``reset SEED``        ``ok VALUE OVER 0``: an episode has begun
``step TICS KEYS…``   ``ok VALUE OVER TICS``: the keys were held; fewer tics where the
                      episode ended
``draw``              ``ok WIDTH HEIGHT``: the pixels are in the file
any of them           ``error SENTENCE``: the game broke, and ends
====================  ==============================================================

VALUE is the number whose growth is the reward, OVER is 0 or 1. At the end of the requests the
game exits. docs/desktop-games.md explains how to write an adapter.
"""

import contextlib
import mmap
import os
import select

import numpy as np
from numpy.typing import NDArray

from metabonk.desktop.engine import State
from metabonk.errors import GameError
from metabonk.printable import printable

PROTOCOL = "1"
MAX_LINE = 4096


class GameEnded(GameError):
    """The game has ended."""

    def __init__(self) -> None:
        super().__init__("it ended unexpectedly")


class AdapterLink:
    """Connection to the adapter in a game, which is started with it. For one thread at a time.

    Args:
        size: width and height that the game draws.

    Attributes:
        environment: variables for the game.
        descriptors: that the game inherits; ``started`` closes them here.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        # It goes with its last user, unlike a file in shared memory.
        frame = os.memfd_create("metabonk-frame", os.MFD_CLOEXEC)
        os.ftruncate(frame, 4 * size[0] * size[1])
        self._frame = mmap.mmap(frame, 4 * size[0] * size[1], access=mmap.ACCESS_READ)
        self.descriptors: tuple[int, ...] = (requests, replies, frame)
        self.environment = {
            name: f"/dev/fd/{descriptor}"
            for name, descriptor in zip(
                ("METABONK_REQUESTS", "METABONK_REPLIES", "METABONK_FRAME"),
                self.descriptors,
                strict=True,
            )
        }
        self._received = b""

    def started(self) -> None:
        """Close what the game has inherited, or would have if it had started."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until the game is loaded.

        Raises:
            GameError: it broke, ended or takes too long.
        """
        match self._receive(timeout_s):
            case ["ready", version] if version == PROTOCOL:
                return
            case other:
                raise GameError(f"its adapter began with {' '.join(other)!r}, not 'ready 1'")

    def reset(self, seed: int, timeout_s: float) -> State:
        """Begin an episode; raises as ``request`` does."""
        return _state(self.request(f"reset {seed}", timeout_s))

    def step(self, tics: int, keys: tuple[str, ...], timeout_s: float) -> State:
        """Hold keys for some tics; raises as ``request`` does."""
        return _state(self.request(" ".join(("step", str(tics), *keys)), timeout_s))

    def draw(self, timeout_s: float) -> NDArray[np.uint8]:
        """Return a view of what the game draws, ``H×W×4`` RGBA, valid until the next call.

        Raises:
            GameError: see ``request``; or the game has changed its size.
        """
        words = self.request("draw", timeout_s)
        try:
            width, height = (int(word) for word in words)
        except ValueError:
            raise GameError(
                f"its adapter drew {' '.join(words)!r}, not a width and height"
            ) from None
        if (width, height) != self._size:
            raise GameError(
                f"it draws {width}×{height} pixels, and its definition says "
                f"{self._size[0]}×{self._size[1]}: correct size, or resize in [adapter]"
            )
        return np.frombuffer(self._frame, np.uint8).reshape(height, width, 4)

    def request(self, line: str, timeout_s: float) -> list[str]:
        """Make a request, and return the words after ``ok``.

        Raises:
            GameError: the game broke, has ended or takes too long.
        """
        try:
            os.write(self._requests, f"{line}\n".encode())
        except BrokenPipeError:
            raise GameEnded from None
        match self._receive(timeout_s):
            case ["ok", *words]:
                return words
            case other:
                raise GameError(f"its adapter replied {' '.join(other)!r} to {line!r}")

    def close(self) -> None:
        """Close the connection: the game ends."""
        self.started()
        os.close(self._requests)
        os.close(self._replies)
        with contextlib.suppress(BufferError):  # Somebody still holds a view.
            self._frame.close()

    def _receive(self, timeout_s: float) -> list[str]:
        while b"\n" not in self._received:
            ready, _, _ = select.select([self._replies], [], [], timeout_s)
            if not ready:
                raise GameError(
                    f"it has not replied for {timeout_s:g} s: it hangs, or asks something"
                )
            received = os.read(self._replies, MAX_LINE)
            if not received:
                raise GameEnded
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        words = line.decode(errors="replace").split()
        if words and words[0] == "error":
            raise GameError(f"it says: {printable(' '.join(words[1:]))}")
        return words


def _state(words: list[str]) -> State:
    try:
        value, over, tics = words
        return State(float(value), bool(int(over)), int(tics))
    except ValueError:
        raise GameError(
            f"its adapter replied {' '.join(words)!r}, not a value, 0 or 1, and a number of tics"
        ) from None
