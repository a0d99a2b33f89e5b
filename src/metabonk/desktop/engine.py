"""A running desktop game: its display, its program, and what moves its clock."""

import contextlib
import logging
from collections.abc import Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from metabonk.desktop import love
from metabonk.desktop.adapter import AdapterLink, GameEnded, State
from metabonk.desktop.catalog import Entry, find_program, require
from metabonk.desktop.child import Child
from metabonk.desktop.definition import Adapter, Definition
from metabonk.desktop.display import Display
from metabonk.desktop.game_folder import GameFolder
from metabonk.errors import GameError
from metabonk.settings.environment import environment_with
from metabonk.system.shared_core import Callee

log = logging.getLogger(__name__)

START_S = 30.0
REPLY_S = 10.0

QUIET = {"SDL_AUDIODRIVER": "dummy", "ALSOFT_DRIVERS": "null", "PULSE_SERVER": "/dev/null"}
"""Keeps programs from playing sound, or from waiting for a sound card's clock."""

ON_DISPLAY = {"SDL_VIDEODRIVER": "x11", "GDK_BACKEND": "x11", "QT_QPA_PLATFORM": "xcb"}
"""Keeps programs from looking for Wayland first."""

ONE_THREAD = {"LP_NUM_THREADS": "0"}
"""Mesa's software renderer draws in the thread that asks: the other cores have their own games."""


class AdapterEngine:
    """A game that an adapter inside it moves. For one thread at a time.

    Start it on a thread that lives as long, see ``Child``.

    Args:
        entry: its definition.
        wanted: width and height for viewers; None: nobody watches, so it runs at low priority.

    Raises:
        GameStartError: what it needs is missing.
        GameError: it does not start.

    Attributes:
        size: width and height that it draws.
    """

    def __init__(self, entry: Entry, wanted: tuple[int, int] | None) -> None:
        require(entry)
        definition, adapter = entry.definition, entry.definition.adapter
        assert adapter is not None, "the definition was checked"
        self._id = entry.game_id
        self._child: Child | None = None
        self.size = definition.drawn_size(wanted)
        with contextlib.ExitStack() as owned:
            folder = owned.enter_context(contextlib.closing(GameFolder()))
            game = folder.path / "game"
            love.prepare(adapter.source, game)
            display = owned.enter_context(
                contextlib.closing(Display(folder.path, definition.largest_size))
            )
            self._link = owned.enter_context(contextlib.closing(AdapterLink(self.size)))
            values = {"game": str(game), "home": str(folder.home)}
            command = [word.format(**values) for word in definition.command]
            command[0] = find_program(command[0]) or command[0]
            with self._explained():
                self._child = owned.enter_context(
                    contextlib.closing(
                        Child(
                            command,
                            environment=_environment(
                                definition,
                                display.environment,
                                {"HOME": str(folder.home), "XDG_RUNTIME_DIR": str(folder.home)},
                                self._link.environment,
                                _settings(definition, adapter, self.size),
                            ),
                            folder=folder.home,
                            output=folder.output,
                            descriptors=self._link.descriptors,
                            background=wanted is None,
                        )
                    )
                )
                self._link.started()
                self._link.wait_until_ready(START_S)
            self._callee = Callee(self._child.pid)
            self._owned = owned.pop_all()

    def reset(self, seed: int) -> State:
        """Begin an episode.

        Raises:
            GameError: the game failed.
        """
        with self._explained():
            if self._child is not None:
                self._child.trim_output()
            return self._link.reset(seed, REPLY_S)

    def step(self, keys: tuple[str, ...], tics: int) -> State:
        """Hold keys for some tics, or fewer if the episode ends.

        Raises:
            GameError: the game failed.
        """
        self._callee.join_caller()
        with self._explained():
            return self._link.step(tics, keys, REPLY_S)

    def draw(self) -> NDArray[np.uint8]:
        """Return the picture, ``H×W×3`` uint8 RGB.

        Raises:
            GameError: the game failed, or has changed its size.
        """
        with self._explained():
            pixels = self._link.draw(REPLY_S)
            return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB), np.uint8)

    def close(self) -> None:
        """End the game and its display; may be called twice."""
        self._owned.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Add the game's name to an error, and its last words where it ended with them."""
        try:
            yield
        except GameEnded as error:
            words = "" if self._child is None else f"; {self._child.last_words()}"
            raise GameError(f"{self._id} failed: {error}{words}") from None
        except GameError as error:
            raise GameError(f"{self._id} failed: {error}") from None


def _settings(definition: Definition, adapter: Adapter, size: tuple[int, int]) -> dict[str, str]:
    """Return the variables that tell an adapter what to evaluate."""
    return {
        "METABONK_TICS_PER_SECOND": str(definition.clock.tics_per_second),
        "METABONK_WIDTH": str(size[0]),
        "METABONK_HEIGHT": str(size[1]),
        "METABONK_BEGIN": adapter.begin,
        "METABONK_EACH_TIC": adapter.each_tic,
        "METABONK_RESIZE": adapter.resize,
        "METABONK_VALUE": definition.reward.value,
        "METABONK_OVER": definition.episode.over,
    }


def _environment(definition: Definition, *parts: Mapping[str, str]) -> dict[str, str]:
    changes: dict[str, str] = {**QUIET, **ON_DISPLAY, **ONE_THREAD}
    for part in (*parts, definition.environment):
        changes |= part
    return environment_with(changes)
