"""Games in processes of their own, whose Python waits for nobody else's interpreter lock."""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from metabonk.errors import GameError
from metabonk.frame import Frame
from metabonk.games.game import FrameSink, Game, GameDescription, Observation, Transition
from metabonk.games.remote_wire import (
    Call,
    Recipe,
    Request,
    content_of,
    pack_action,
    pack_seed,
    unpack_observation,
    unpack_transition,
)
from metabonk.settings.schema import Learning
from metabonk.system.process_ids import PARENT

END_S = 2.0
"""Time for a process to close its games; then it is killed."""


class GameProcess:
    """A process that runs games, at a lower priority. For one thread.

    It ends with the thread that started it, however that ends, and logs where this process does.

    Raises:
        GameError: it can't be started.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        command = (
            *(sys.executable, "-m", "metabonk.cli.main", "games"),
            *(PARENT, str(os.getpid()), "--socket", str(theirs.fileno())),
        )
        with theirs:
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
                )
            except OSError as error:
                ours.close()
                raise GameError(f"can't start a process for games: {error.strerror}") from None
        self._connection = Connection(ours.detach())

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def call(self, request: Request) -> memoryview:
        """Make a call, and return its content.

        Raises:
            GameError: it raised one, or the process has ended.
        """
        try:
            self._connection.send_bytes(request.to_bytes())
            return content_of(self._connection.recv_bytes())
        except (EOFError, OSError):
            code = self._process.wait()
            raise GameError(
                f"a process of games ended unexpectedly (exit code {code}); its last words are "
                "above in this log"
            ) from None

    def close(self) -> None:
        """End the process and its games; may be called twice."""
        self._connection.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class RemoteGame(Game):
    """A game in another process, which nobody watches: it has no frames.

    Args:
        process: runs it; all calls must be made on its thread.
        number: of the game, unique in the process.
        game_id: see ``make_game``.
        learning: see ``make_game``.
        description: of the game.

    Raises:
        GameError: see ``make_game``; or the process has ended.
    """

    def __init__(
        self,
        process: GameProcess,
        number: int,
        game_id: str,
        learning: Learning,
        description: GameDescription,
    ) -> None:
        super().__init__(description)
        self._process = process
        self._number = number
        recipe = Recipe(game=game_id, learning=learning)
        self._call(Call.OPEN, recipe.model_dump_json().encode())

    @property
    def source_size(self) -> tuple[int, int]:
        """Nothing is drawn."""
        return 0, 0

    def carried_state(self) -> bytes:
        """Return what the next episode depends on besides its seed and actions."""
        return bytes(self._call(Call.CARRIED_STATE))

    def restore_carried_state(self, state: bytes) -> None:
        """Restore what ``carried_state`` returned."""
        self._call(Call.RESTORE_CARRIED_STATE, state)

    def reset(self, seed: int) -> Observation:
        """Start the next episode."""
        return unpack_observation(self._call(Call.RESET, pack_seed(seed)), self.description)

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        """Take a step, undrawn."""
        assert on_frame is None, "nobody watches it"
        packed = pack_action(action, self.description)
        return unpack_transition(self._call(Call.STEP, packed), self.description)

    def set_render_size(self, size: tuple[int, int] | None) -> NoReturn:
        """Not to be called."""
        raise AssertionError("nobody watches it")

    def frame(self) -> Frame:
        """Not to be called."""
        raise AssertionError("nobody watches it")

    def close(self) -> None:
        """End the game, unless its process has ended."""
        with suppress(GameError):
            self._call(Call.CLOSE)

    def _call(self, call: Call, content: bytes = b"") -> memoryview:
        return self._process.call(Request(call, self._number, content))
