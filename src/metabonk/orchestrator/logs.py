"""The end of a log file, without reading the rest."""

from pathlib import Path

MOST_BYTES = 256 << 10


def tail(file: Path, lines: int) -> list[str]:
    """The last lines of a file; none where it doesn't exist yet.

    Args:
        file: text, in any state.
        lines: at most, and no more than fit into ``MOST_BYTES``.
    """
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - MOST_BYTES))
            text = stream.read(MOST_BYTES).decode(errors="replace")
    except OSError:
        return []
    found = text.splitlines()
    # The first may be half a line.
    return (found[1:] if size > MOST_BYTES else found)[-lines:]
