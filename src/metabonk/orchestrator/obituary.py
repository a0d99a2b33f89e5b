"""Says why a child process died, from its exit status and the end of its log."""

import signal
from dataclasses import dataclass
from pathlib import Path

from metabonk.errors import LAST_WORDS

TAIL_BYTES = 16_384
LONGEST_LINE = 300


@dataclass(frozen=True, slots=True)
class Death:
    """How a child process ended."""

    name: str
    code: int
    """As ``subprocess`` has it: negative for a signal."""
    last_words: str

    @classmethod
    def of(cls, name: str, code: int, log: Path, log_start: int) -> "Death":
        """Of a child whose output of this life begins at byte ``log_start`` of ``log``."""
        return cls(name, code, last_words(_tail(log, log_start)))

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        said = f": {self.last_words}" if self.last_words else ""
        return f"{self.name} {_manner(self.code)}{said}"


def last_words(output: str) -> str:
    """The sentence a MetaBonk process ended with, else the last line it wrote."""
    start = output.rfind(f"\n{LAST_WORDS}")
    if start >= 0 or output.startswith(LAST_WORDS):
        return output[start + 1 + len(LAST_WORDS) if start >= 0 else len(LAST_WORDS) :].strip()
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
