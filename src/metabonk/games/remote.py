"""Games in processes of their own, whose Python waits for nobody else's interpreter lock."""

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from metabonk.errors import GameError
from metabonk.frame import Frame
from metabonk.games.game import FrameSink, Game, GameDescription, Observation, Transition
from metabonk.games.remote_wire import (
    Call,
    Recipe,
    Reply,
    Request,
    pack_action,
    pack_seed,
    unpack_observation,
    unpack_transition,
)
from metabonk.settings.learning import Learning
from metabonk.system.process_ids import PARENT

END_S = 2.0
"""Time for a process to close its games; then it is killed."""


class GameProcess:
    """A process that runs games, at a lower priority. Thread-safe.

    It makes one call after another. It ends with the thread that started it, however that ends, and
    logs where this process does.

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
        self._sending, self._receiving = threading.Lock(), threading.Lock()
        self._replies: dict[int, Reply] = {}

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def send(self, request: Request) -> None:
        """Ask for a call, whose reply is to be received before the game is called again.

        Raises:
            GameError: the process has ended.
        """
        try:
            with self._sending:
                self._connection.send_bytes(request.to_bytes())
        except OSError:
            raise self._ended() from None

    def receive(self, game: int) -> memoryview:
        """Wait for the reply to a game's call, and return its content.

        Args:
            game: its number.

        Raises:
            GameError: the call raised one, or the process has ended.
        """
        # Whoever waits takes in what comes for others too.
        with self._receiving:
            while game not in self._replies:
                try:
                    reply = Reply.from_bytes(self._connection.recv_bytes())
                except (EOFError, OSError):
                    raise self._ended() from None
                self._replies[reply.game] = reply
            return self._replies.pop(game).result()

    def _ended(self) -> GameError:
        code = self._process.wait()
        return GameError(
            f"a process of games ended unexpectedly (exit code {code}); its last words are above "
            "in this log"
        )

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
        process: runs it.
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
        self._has_begun = False
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

    def begin_step(self, action: Any) -> bool:
        """Begin a step."""
        packed = pack_action(action, self.description)
        self._process.send(Request(Call.STEP, self._number, packed))
        self._has_begun = True
        return True

    def step(self, action: Any, on_frame: FrameSink | None = None) -> Transition:
        """Take a step, undrawn, or complete the one that has begun."""
        assert on_frame is None, "nobody watches it"
        if not self._has_begun:
            self.begin_step(action)
        self._has_begun = False
        return unpack_transition(self._process.receive(self._number), self.description)

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
        self._process.send(Request(call, self._number, content))
        return self._process.receive(self._number)
