"""Foreign text on its way to terminals, logs and pages."""

import pytest

from metabonk.messages.base import Problem
from metabonk.messages.feed import FleetEvent
from metabonk.printable import printable, printable_line


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("a frame of 1280×720 at 30 – 漢字 and 🎮", "a frame of 1280×720 at 30 – 漢字 and 🎮"),
        ("two\nlines", "two\nlines"),
        ("\x1b]0;owned\x07\x1b[2J", "\\x1b]0;owned\\x07\\x1b[2J"),
        ("a\rb\x00\x7f\tc", "a\\rb\\x00\\x7f\\tc"),
        ("C1: \x9b31m \x85", "C1: \\x9b31m \\x85"),
        ("\u202egnp.exe \u2066x", "\\u202egnp.exe \\u2066x"),
        ("\u2028\u2029\u200b\ufeff", "\\u2028\\u2029\\u200b\\ufeff"),
        ("half a character \udc80", "half a character \\udc80"),
    ],
)
def test_only_visible_characters_and_line_ends_are_kept(foreign: str, shown: str):
    assert printable(foreign) == shown
    assert printable(shown) == shown, "once is enough"


def test_a_line_has_one_beginning():
    assert printable_line("a\n2026-01-01 ERROR b") == "a\n    2026-01-01 ERROR b"


def test_messages_to_pages_and_terminals_are_printable():
    problem = Problem(message="\x1b[2J", action="\u202e")
    assert (problem.message, problem.action) == ("\\x1b[2J", "\\u202e")
    event = FleetEvent(
        id=1, at=0.0, kind="died", severity="warning", instance_id="omega-0", message="\x9b2J"
    )
    assert event.message == "\\x9b2J"
