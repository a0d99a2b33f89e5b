"""A keyboard and a mouse on an X display, by its XTEST extension.

The few requests that this takes are written out here (X Window System Protocol, version 11; XTEST
Extension Protocol, version 2.2): X libraries find the cookie of a display in an environment
variable, and a process that plays several games has several displays.
"""

import re
import socket
import struct
from collections.abc import Collection

from metabonk.errors import GameError

PREFIX = "\0/tmp/.X11-unix/X"
"""Name of a display's abstract socket, before its number."""

COOKIE = b"MIT-MAGIC-COOKIE-1"
TIMEOUT_S = 5.0

KEYSYMS = {
    "space": 0x20,
    "BackSpace": 0xFF08,
    "Tab": 0xFF09,
    "Return": 0xFF0D,
    "Escape": 0xFF1B,
    "Home": 0xFF50,
    "Left": 0xFF51,
    "Up": 0xFF52,
    "Right": 0xFF53,
    "Down": 0xFF54,
    "Page_Up": 0xFF55,
    "Page_Down": 0xFF56,
    "End": 0xFF57,
    "Insert": 0xFF63,
    "Delete": 0xFFFF,
    "Shift_L": 0xFFE1,
    "Control_L": 0xFFE3,
    "Alt_L": 0xFFE9,
    **{f"F{number}": 0xFFBD + number for number in range(1, 13)},
}
"""Codes of the keys that have names (keysymdef.h); a printable character is its own name."""

BUTTONS = {"mouse_left": 1, "mouse_middle": 2, "mouse_right": 3}

POINTER = re.compile(r"mouse@(\d{1,4}),(\d{1,4})")
"""Name that moves the mouse to a place, pixels from the upper left."""

KEY_PRESS, KEY_RELEASE, BUTTON_PRESS, BUTTON_RELEASE, MOTION = 2, 3, 4, 5, 6
GET_WINDOW_ATTRIBUTES, QUERY_TREE, SET_INPUT_FOCUS, GET_INPUT_FOCUS = 3, 15, 42, 43
QUERY_EXTENSION, GET_KEYBOARD_MAPPING = 98, 101
BAD_WINDOW, BAD_MATCH = 3, 8
VIEWABLE = 2
FAKE_INPUT = 2


def is_key(name: str) -> bool:
    """Tell whether there is a key, a button or a place for the mouse of this name."""
    is_named = name in KEYSYMS or name in BUTTONS or POINTER.fullmatch(name) is not None
    return is_named or (len(name) == 1 and "!" <= name <= "~")


class _WindowGone(Exception):
    """A window was closed between two requests about it."""


class Keyboard:
    """Keys and buttons that are held on a display. For one thread at a time.

    Args:
        number: of the display.
        cookie: that it asks for.

    Raises:
        GameError: it can't be reached, or has no XTEST.
    """

    def __init__(self, number: str, cookie: bytes) -> None:
        self._held: set[tuple[int, int]] = set()
        self._focused = 0
        self._sent = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        try:
            self._socket.connect(f"{PREFIX}{number}")
            first, last = self._set_up(cookie)
            extension = self._request(QUERY_EXTENSION, 0, struct.pack("<Hxx5sxxx", 5, b"XTEST"))
            if not extension[8]:
                raise GameError("its display has no XTEST extension, so it can't be given keys")
            self._xtest = extension[9]
            self._codes = self._mapping(first, last)
        except OSError as error:
            self._socket.close()
            raise GameError(f"its display can't be reached: {error}") from None
        except GameError:
            self._socket.close()
            raise

    def hold(self, names: Collection[str]) -> None:
        """Hold these keys and buttons, and no others; they have arrived when this returns.

        There is no window manager, so the keys go to the topmost window.

        Raises:
            GameError: the display has gone, or has no such key.
        """
        places = [place for name in names if (place := POINTER.fullmatch(name))]
        wanted = {self._input(name) for name in names if not POINTER.fullmatch(name)}
        try:
            self._focus()
            for place in places:
                self._fake(MOTION, 0, int(place[1]), int(place[2]))
            for kind, code in sorted(self._held - wanted):
                self._fake(kind + 1, code)
            for kind, code in sorted(wanted - self._held):
                self._fake(kind, code)
            self._request(GET_INPUT_FOCUS, 0, b"")
        except OSError as error:
            raise GameError(f"its display has gone: {error}") from None
        self._held = wanted

    def has_window(self) -> bool:
        """Tell whether there is a window; it gets the keys from now on."""
        try:
            self._focus()
        except OSError as error:
            raise GameError(f"its display has gone: {error}") from None
        return self._focused != 0

    def wait(self) -> None:
        """Wait until the display has done what it was asked before."""
        try:
            for _ in range(2):  # It serves its clients in turn.
                self._request(GET_INPUT_FOCUS, 0, b"")
        except OSError as error:
            raise GameError(f"its display has gone: {error}") from None

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _focus(self) -> None:
        tree = self._request(QUERY_TREE, 0, struct.pack("<I", self._root))
        windows = struct.unpack(f"<{(len(tree) - 32) // 4}I", tree[32:])
        for window in reversed(windows):
            try:
                attributes = self._request(GET_WINDOW_ATTRIBUTES, 0, struct.pack("<I", window))
            except _WindowGone:
                continue
            if attributes[26] == VIEWABLE:
                if window != self._focused:
                    self._send(SET_INPUT_FOCUS, 1, struct.pack("<II", window, 0))
                    self._focused = window
                return

    def _input(self, name: str) -> tuple[int, int]:
        if name in BUTTONS:
            return BUTTON_PRESS, BUTTONS[name]
        keysym = KEYSYMS.get(name) or ord(name)
        if keysym not in self._codes:
            raise GameError(f"its display has no key {name!r}")
        return KEY_PRESS, self._codes[keysym]

    def _set_up(self, cookie: bytes) -> tuple[int, int]:
        """Open the connection; return the smallest and the largest code of a key."""
        name = COOKIE.ljust(-(-len(COOKIE) // 4) * 4, b"\0")
        self._socket.sendall(
            struct.pack("<cxHHHHxx", b"l", 11, 0, len(COOKIE), len(cookie)) + name + cookie
        )
        status, length = struct.unpack("<BxxxxxH", self._receive(8))
        answer = self._receive(4 * length)
        if status != 1:
            raise GameError("its display refused the connection")
        vendor, formats = struct.unpack_from("<H", answer, 16)[0], answer[21]
        screens = 32 + -(-vendor // 4) * 4 + 8 * formats
        (self._root,) = struct.unpack_from("<I", answer, screens)
        first, last = answer[26], answer[27]
        return first, last

    def _mapping(self, first: int, last: int) -> dict[int, int]:
        reply = self._request(
            GET_KEYBOARD_MAPPING, 0, struct.pack("<BBxx", first, last - first + 1)
        )
        width = reply[1]
        symbols = struct.unpack(f"<{(len(reply) - 32) // 4}I", reply[32:])
        codes: dict[int, int] = {}
        for index, symbol in enumerate(symbols):
            if index % width == 0:  # Without Shift.
                codes.setdefault(symbol, first + index // width)
        return codes

    def _fake(self, kind: int, code: int, x: int = 0, y: int = 0) -> None:
        self._send(self._xtest, FAKE_INPUT, struct.pack("<BBxxII8xhh8x", kind, code, 0, 0, x, y))

    def _send(self, opcode: int, data: int, content: bytes) -> None:
        self._socket.sendall(struct.pack("<BBH", opcode, data, 1 + len(content) // 4) + content)
        self._sent = (self._sent + 1) % 2**16

    def _request(self, opcode: int, data: int, content: bytes) -> bytes:
        """Make a request and return its reply, leaving out events.

        Raises:
            _WindowGone: the program has closed the window meanwhile.
        """
        self._send(opcode, data, content)
        while True:
            head = self._receive(32)
            if head[0] == 1:
                return head + self._receive(4 * struct.unpack_from("<I", head, 4)[0])
            if head[0] == 0:
                self._judge(*struct.unpack_from("<xBH", head))

    def _judge(self, error: int, sequence: int) -> None:
        """Raise the error of a request; not of giving the focus to a window that has gone."""
        if sequence == self._sent and error == BAD_WINDOW:
            raise _WindowGone
        if sequence == self._sent or error not in (BAD_WINDOW, BAD_MATCH):
            raise GameError(f"its display refused a request (X error {error})")

    def _receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            part = self._socket.recv(size - len(received))
            if not part:
                raise ConnectionResetError("it closed the connection")
            received += part
        return received
