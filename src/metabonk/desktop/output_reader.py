"""Reading a number from what a program prints."""

import re
from pathlib import Path

MAX_LINE = 4096
"""Bytes of an unfinished line that are kept for the next reading."""


class OutputReader:
    """Reads the newest number of a growing file.

    Args:
        file: that receives what the program prints.
        pattern: regular expression of a line; its first group is the number.
    """

    def __init__(self, file: Path, pattern: str) -> None:
        self._stream = file.open("rb")
        self._pattern = re.compile(pattern)
        self._rest = b""

    def read(self) -> float | None:
        """Return the number in the newest of the lines since the last reading; None: in none."""
        *lines, rest = (self._rest + self._stream.read()).split(b"\n")
        self._rest = rest[-MAX_LINE:]
        for line in reversed(lines):
            if match := self._pattern.search(line.decode(errors="replace")):
                return _number(match[1])
        return None

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
