"""Standard streams that any text can be written to, whatever the locale."""

import codecs
import io
import sys

SHOWABLE = "metabonk.showable"
"""Name of the error handler for what an encoding lacks: close to it in ASCII, else a question mark.

Also for undecodable bytes of file names, which Python keeps as lone surrogates.
"""

SUBSTITUTES = {
    "…": "...",
    "→": "->",
    "✓": "+",
    "✗": "x",
    "·": "*",
    "–": "-",
    "−": "-",
    "─": "-",
    "×": "x",
    "±": "+-",
    "≥": ">=",
    "≤": "<=",
    "µ": "u",
    "λ": "lambda",
    "ε": "epsilon",
}


def make_streams_showable(*, as_utf8: bool = False) -> None:
    """Let every write to standard output and error succeed.

    Args:
        as_utf8: they go to files or to a process of MetaBonk rather than to a terminal.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8" if as_utf8 else None, errors=SHOWABLE)


def _substitute(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(SUBSTITUTES.get(character, "?") for character in lacking), error.end


codecs.register_error(SHOWABLE, _substitute)
