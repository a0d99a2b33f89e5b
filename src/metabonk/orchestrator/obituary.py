"""Says why a child process died, from its exit status and the end of its log."""

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from metabonk.errors import LAST_WORDS

TAIL_BYTES = 16_384
LONGEST_LINE = 300


CRASHES = tuple(
    -number
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
)
"""Exit codes of a process that native code has brought down."""

FATAL = re.compile(
    r"^Fatal Python error: (?P<what>[^\n]+)$"
    r"(?:.*?^Current thread [^\n]*\n"
    r"  File \"(?P<file>[^\"\n]+)\", line (?P<line>\d+) in (?P<name>\w+))?",
    re.MULTILINE | re.DOTALL,
)
"""What Python's faulthandler writes when native code crashes."""


@dataclass(frozen=True, slots=True)
class Death:
    """How a child process ended.

    Attributes:
        name: of the child.
        code: as ``subprocess`` has it, negative for a signal.
        last_words: what it said at the end.
        pid: it had.
        cause: why its keeper ended it; None where it ended by itself.
    """

    name: str
    code: int
    last_words: str
    pid: int = 0
    cause: str | None = None

    @property
    def crashed(self) -> bool:
        """Whether native code has brought it down, or it hung and was ended."""
        return self.code in CRASHES or self.cause is not None

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        if self.cause is not None:
            return f"{self.name} was ended, since {self.cause}"
        said = f": {self.last_words}" if self.last_words else ""
        return f"{self.name} {_manner(self.code)}{said}"


def words_in(log: Path, start: int) -> str:
    """The last words of a child whose output of this life begins at byte ``start`` of ``log``."""
    return last_words(_tail(log, start))


def last_words(output: str) -> str:
    """The sentence a process of MetaBonk's ended with, or where it crashed, else its last line."""
    start = output.rfind(f"\n{LAST_WORDS}")
    if start >= 0 or output.startswith(LAST_WORDS):
        return output[start + 1 + len(LAST_WORDS) if start >= 0 else len(LAST_WORDS) :].strip()
    if crash := FATAL.search(output):
        where = f" in {crash['file']}:{crash['line']} ({crash['name']})" if crash["file"] else ""
        return f"{crash['what']}{where}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:LONGEST_LINE] if lines else ""


def _manner(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    if -code == signal.SIGKILL:
        return "was killed by SIGKILL (by somebody, or by the kernel for want of memory)"
    names = {number.value: number.name for number in signal.Signals}
    return f"was ended by {names.get(-code, f'signal {-code}')}"


def _tail(log: Path, start: int) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
