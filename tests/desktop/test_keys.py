"""Names of keys, and a keyboard on a real display."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.desktop import keys
from metabonk.desktop.display import Display
from metabonk.desktop.keys import Keyboard, is_key
from metabonk.errors import GameError
from tests.support.requirements import require_desktop


@pytest.mark.parametrize("name", ["a", "5", "/", "Left", "F12", "mouse_left", "mouse@10,200"])
def test_known_names(name: str):
    assert is_key(name)


@pytest.mark.parametrize("name", ["", "left", "ab", "F13", "mouse", "mouse@1", "mouse@x,y", "é"])
def test_unknown_names(name: str):
    assert not is_key(name)


class Closing(Keyboard):
    """A keyboard that meets a window which is closed right after the display has listed it."""

    gone = 0

    def _request(self, opcode: int, data: int, content: bytes) -> bytes:
        reply = super()._request(opcode, data, content)
        if opcode == keys.QUERY_TREE and self.gone:
            reply += struct.pack("<I", self.gone)
        return reply


@pytest.fixture
def keyboard(tmp_path: Path) -> Iterator[Closing]:
    require_desktop(apt="")
    with contextlib.ExitStack() as owned:
        display = owned.enter_context(contextlib.closing(Display(tmp_path, (64, 48))))
        yield owned.enter_context(contextlib.closing(Closing(display.number, display.cookie)))


def test_a_window_that_is_closed_meanwhile_is_no_failure(keyboard: Closing):
    keyboard.gone = 0x12345
    keyboard.hold(["a"])
    assert not keyboard.has_window()
    keyboard.gone = 0
    # So is one that is closed before it gets the focus, which the display says later.
    keyboard._send(keys.SET_INPUT_FOCUS, 1, struct.pack("<II", 0x12345, 0))
    keyboard.hold(["Left"])
    keyboard.wait()
    keyboard.hold([])


def test_a_request_that_the_display_refuses_is_a_sentence(keyboard: Closing):
    with pytest.raises(GameError, match=r"refused a request \(X error 1\)"):
        keyboard._request(255, 0, b"")
