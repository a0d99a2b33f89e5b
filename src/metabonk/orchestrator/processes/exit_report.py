"""Report of how a child process ended, from its exit status and the end of its log. Pure."""

import re
import signal
from dataclasses import dataclass

from metabonk.errors import ERROR_PREFIX
from metabonk.printable import printable

MAX_LINE = 300

CRASH_CODES = tuple(
    -number
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
)
"""Exit codes of a process that native code has brought down."""

FATAL_ERROR = re.compile(
    r"^Fatal Python error: (?P<error>[^\n]+)$"
    r"(?:.*?^Current thread [^\n]*\n"
    r"  File \"(?P<file>[^\"\n]+)\", line (?P<line>\d+) in (?P<name>\w+))?",
    re.MULTILINE | re.DOTALL,
)
"""Output of Python's faulthandler when native code crashes."""

LOGGED = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (?P<level>[A-Z]+) +\S+ (?P<message>.*)")
"""Line of a log, see ``system.process.configure_logging``."""


@dataclass(frozen=True, slots=True)
class ExitReport:
    """End of a child process.

    Attributes:
        name: of the child.
        code: as in ``subprocess``, negative for a signal.
        error: from its output, see ``fatal_message``.
        pid: of the process; 0 if it could not be started.
        stopped_because: why the supervisor stopped it; None if it ended by itself.
        was_silent: it was stopped, and had not answered before.
    """

    name: str
    code: int
    error: str
    pid: int = 0
    stopped_because: str | None = None
    was_silent: bool = False

    @property
    def crashed(self) -> bool:
        """True if native code brought it down, or silenced all of its threads."""
        return self.was_silent if self.stopped_because is not None else self.code in CRASH_CODES

    @property
    def message(self) -> str:
        """Sentence for the operator."""
        if self.stopped_because is not None:
            return f"{self.name} was stopped because {self.stopped_because}"
        # Nothing that a process has written explains why another one killed it.
        error = f": {self.error}" if self.error and self.code != -signal.SIGKILL else ""
        return f"{self.name} {_manner(self.code)}{error}"


def fatal_message(output: str) -> str:
    """Return the error that ended a process: MetaBonk's, a native crash, else the last line.

    A last line that only logs what the process was doing says nothing about its end.
    """
    output = printable(output)
    start = f"\n{output}".rfind(f"\n{ERROR_PREFIX}")
    if start >= 0:
        return output[start + len(ERROR_PREFIX) :].strip()
    if crash := FATAL_ERROR.search(output):
        where = f" in {crash['file']}:{crash['line']} ({crash['name']})" if crash["file"] else ""
        return f"{crash['error']}{where}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if logged := LOGGED.match(last):
        last = logged["message"] if logged["level"] in ("ERROR", "CRITICAL") else ""
    return last[:MAX_LINE]


def _manner(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    if -code == signal.SIGKILL:
        return "was killed by SIGKILL (by a user, or by the kernel when out of memory)"
    names = {number.value: number.name for number in signal.Signals}
    return f"was terminated by {names.get(-code, f'signal {-code}')}"
