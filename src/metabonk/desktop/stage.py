"""Folder, display and program of one running desktop game."""

import contextlib
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from metabonk.desktop.catalog import Entry, find_program
from metabonk.desktop.child import Child
from metabonk.desktop.clock import shared_files
from metabonk.desktop.display import Display
from metabonk.desktop.game_folder import GameFolder
from metabonk.errors import GameError
from metabonk.settings.environment import environment_with

QUIET = {"SDL_AUDIODRIVER": "dummy", "ALSOFT_DRIVERS": "null", "PULSE_SERVER": "/dev/null"}
"""Keeps programs from playing sound, or from waiting for a sound card's clock."""

ON_DISPLAY = {"SDL_VIDEODRIVER": "x11", "GDK_BACKEND": "x11", "QT_QPA_PLATFORM": "xcb"}
"""Keeps programs from looking for Wayland first."""

ONE_THREAD = {"LP_NUM_THREADS": "0"}
"""Mesa's software renderer draws in the thread that asks: the other cores have their own games."""


class Stage:
    """A game's folder, display and program. Its display starts at once, if it has one.

    Use it on a thread that lives as long, see ``Child``.

    Args:
        entry: the game's definition.

    Raises:
        GameError: the display does not start.

    Attributes:
        folder: of the game.
    """

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._child: Child | None = None
        self._display: Display | None = None
        with contextlib.ExitStack() as owned:
            self.folder = owned.enter_context(contextlib.closing(GameFolder()))
            if entry.definition.has_display:
                self._display = owned.enter_context(
                    contextlib.closing(Display(self.folder.path, entry.definition.largest_size))
                )
            self._owned = owned.pop_all()

    @property
    def display(self) -> Display:
        """The display of a game that has one."""
        assert self._display is not None, "it has one"
        return self._display

    @property
    def child(self) -> Child:
        """The program, once it has started."""
        assert self._child is not None, "it has started"
        return self._child

    def has_ended(self) -> bool:
        """Tell whether the program was started and has ended."""
        return self._child is not None and self._child.has_ended()

    def start(
        self,
        environment: Mapping[str, str],
        *,
        game: Path | None = None,
        descriptors: Collection[int] = (),
        background: bool = False,
    ) -> None:
        """Start the program.

        Args:
            environment: variables of its own.
            game: the prepared game, for the command.
            descriptors: that it inherits.
            background: run below the priority of live streams.

        Raises:
            GameError: it can't be started.
        """
        home = str(self.folder.home)
        values = {"game": "" if game is None else str(game), "home": home, "python": sys.executable}
        command = [word.format(**values) for word in self._entry.definition.command]
        command[0] = find_program(command[0]) or command[0]
        variables = {"HOME": home, "XDG_RUNTIME_DIR": home, **QUIET, **ON_DISPLAY, **ONE_THREAD}
        if self._display is not None:
            variables |= self._display.environment
        variables |= environment
        variables |= self._entry.definition.environment
        child = Child(
            command,
            environment=environment_with(variables),
            folder=self.folder.home,
            output=self.folder.output,
            descriptors=descriptors,
            background=background,
        )
        self._owned.callback(_end, child)
        self._child = child
        self.folder.program.write_text(str(child.pid), encoding="ascii")

    def failed(self, error: GameError, *, has_ended: bool) -> GameError:
        """Return an error with the game's name, and its last words where it ended with them."""
        words = f"; {self._child.last_words()}" if has_ended and self._child else ""
        return GameError(f"{self._entry.game_id} failed: {error}{words}")

    def close(self) -> None:
        """End the program and its display; may be called twice."""
        self._owned.close()


def _end(child: Child) -> None:
    child.close()
    for file in shared_files(child.pid):
        file.unlink(missing_ok=True)
