"""An X display of a game's own, without a screen: Xvfb, with its frame buffer in a file."""

import os
import secrets
import select
import socket
import struct
from pathlib import Path

from metabonk.desktop.catalog import find_program
from metabonk.desktop.child import Child
from metabonk.desktop.keys import COOKIE
from metabonk.errors import GameError
from metabonk.settings.environment import environment_with

START_S = 15.0

FAMILY_WILD = 0xFFFF  # Xauth.h: any host, any display


class Display:
    """A display that no other user can open, since it asks for a cookie.

    It listens on an abstract socket only, so nothing of it stays behind (unix(7)). Start it on a
    thread that lives as long, see ``Child``.

    Args:
        folder: for its files.
        size: width and height, pixels.

    Raises:
        GameError: it does not start.

    Attributes:
        number: of the display.
        cookie: that it asks for.
        environment: variables by which programs find it.
        frame_buffer: file that holds its picture.
        pid: of the server.
    """

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        authority = folder / "Xauthority"
        self.cookie = secrets.token_bytes(16)
        authority.write_bytes(_authority(self.cookie))
        reader, writer = os.pipe()
        try:
            try:
                self._server = Child(
                    (
                        find_program("Xvfb") or "Xvfb",
                        *("-displayfd", str(writer), "-auth", str(authority)),
                        *("-nolock", "-nolisten", "unix", "-nolisten", "tcp", "-noreset"),
                        *("-fbdir", str(folder)),
                        *("-screen", "0", f"{size[0]}x{size[1]}x24"),
                    ),
                    environment=environment_with({}),
                    folder=folder,
                    output=folder / "display.txt",
                    descriptors=[writer],
                )
            finally:
                os.close(writer)
            number = _read_line(reader)
        finally:
            os.close(reader)
        if not number:
            words = self._server.last_words()
            self._server.close()
            raise GameError(f"the display (Xvfb) does not start: {words}")
        self.pid = self._server.pid
        self.number = number
        self.environment = {"DISPLAY": f":{number}", "XAUTHORITY": str(authority)}
        self.frame_buffer = folder / "Xvfb_screen0"

    def has_ended(self) -> bool:
        """Tell whether the display has gone."""
        return self._server.has_ended()

    def close(self) -> None:
        """End the display; may be called twice."""
        self._server.close()


def _read_line(descriptor: int) -> str:
    """Return the announced line; "" if the server ends before, or takes too long.

    The server writes number and newline one after the other, and ends if nobody reads the latter.
    """
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], START_S)
        received = os.read(descriptor, 32) if ready else b""
        if not received:
            return ""
        line += received
    return line.decode().strip()


def _authority(cookie: bytes) -> bytes:
    """Return an Xauthority file (Xau(3)) with one cookie for every display."""
    host = socket.gethostname().encode()
    fields = (host, b"", COOKIE, cookie)
    entry = struct.pack(">H", FAMILY_WILD)
    return entry + b"".join(struct.pack(">H", len(field)) + field for field in fields)
