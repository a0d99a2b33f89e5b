"""A socket to which a program, or a mod of it, writes its rewards."""

import contextlib
import math
import socket
from pathlib import Path

from metabonk.errors import GameError
from metabonk.printable import printable

VARIABLE = "METABONK_REWARDS"
MAX_LINE = 200
MAX_PATH = 107  # sockaddr_un, unix(7)


class RewardSocket:
    """Takes lines from whoever connects: ``reward NUMBER`` and ``done``.

    Args:
        file: of the socket, in a folder that nobody else may enter.

    Raises:
        GameError: its path is too long.

    Attributes:
        environment: variables for the program.
        total: of the rewards so far.
        is_done: the episode has ended.
    """

    def __init__(self, file: Path) -> None:
        if len(str(file).encode()) > MAX_PATH:
            raise GameError(
                f"{file} is too long for a socket's path, which has at most {MAX_PATH} bytes: set "
                "XDG_RUNTIME_DIR to a folder with a shorter name"
            )
        self.environment = {VARIABLE: str(file)}
        self.total = 0.0
        self.is_done = False
        self._connections: dict[socket.socket, bytes] = {}
        self._server = socket.socket(socket.AF_UNIX)
        self._server.setblocking(False)
        self._server.bind(str(file))
        self._server.listen()

    def read(self) -> None:
        """Take what has been written by now.

        Raises:
            GameError: something else than these lines was.
        """
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self._server.accept()
                connection.setblocking(False)
                self._connections[connection] = b""
        for connection in list(self._connections):
            self._receive(connection)

    def begin(self) -> None:
        """Begin an episode."""
        self.total, self.is_done = 0.0, False

    def close(self) -> None:
        """Close the socket and all connections."""
        for each in (self._server, *self._connections):
            each.close()

    def _receive(self, connection: socket.socket) -> None:
        rest = self._connections[connection]
        try:
            while received := connection.recv(4096):
                *lines, rest = (rest + received).split(b"\n")
                for line in lines:
                    self._take(line)
                if len(rest) > MAX_LINE:
                    raise _unknown(rest)
        except BlockingIOError:
            self._connections[connection] = rest
        except ConnectionResetError:
            self._forget(connection)
        else:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        del self._connections[connection]
        connection.close()

    def _take(self, line: bytes) -> None:
        match line.split():
            case [b"reward", number]:
                try:
                    reward = float(number)
                except ValueError:
                    raise _unknown(line) from None
                if not math.isfinite(reward):
                    raise _unknown(line)
                self.total += reward
            case [b"done"]:
                self.is_done = True
            case _:
                raise _unknown(line)


def _unknown(line: bytes) -> GameError:
    words = printable(line[:MAX_LINE].decode(errors="replace"))
    return GameError(f"it wrote {words!r} to {VARIABLE}, which takes 'reward NUMBER' and 'done'")
