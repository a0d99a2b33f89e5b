"""The switch of what goes on air, and what its process last reported."""

import threading

from metabonk.errors import SettingsError
from metabonk.messages.air import AirReport, AirStatus


class OnAir:
    """Switch of what goes on air, and the last report of its process. Thread-safe.

    Args:
        to: where to, without the key; None: nothing is configured.
    """

    def __init__(self, to: str | None) -> None:
        self._to = to
        self._lock = threading.Lock()
        self._is_wanted = to is not None
        self._report: AirReport | None = None
        self._turned_at = 0.0

    @property
    def is_wanted(self) -> bool:
        """True while the process is to run."""
        return self._is_wanted

    @property
    def report(self) -> AirReport | None:
        """Last report of the process."""
        return self._report

    def status(self) -> AirStatus:
        """Return what the page shows."""
        with self._lock:
            return AirStatus(to=self._to, wanted=self._is_wanted, report=self._report)

    def switch(self, *, on: bool) -> None:
        """Go on air, or off.

        Raises:
            SettingsError: nothing is configured.
        """
        if on and self._to is None:
            raise SettingsError("nothing says where to: set air.to, or start with --air")
        with self._lock:
            self._is_wanted = on

    def take(self, report: AirReport, now: float) -> None:
        """Take a report of the process.

        Args:
            report: of it.
            now: monotonic seconds.
        """
        with self._lock:
            last, self._report = self._report, report
            if last is None or (last.pid, last.turns) != (report.pid, report.turns):
                self._turned_at = now

    def hangs_for(self, pid: int, now: float) -> float:
        """Return for how long a process has sent nothing, seconds, unless it said nothing yet.

        Args:
            pid: of the process.
            now: monotonic seconds.
        """
        with self._lock:
            is_known = self._report is not None and self._report.pid == pid
            return now - self._turned_at if is_known else 0.0

    def forget(self) -> None:
        """Forget what the process said: it has ended."""
        with self._lock:
            self._report = None
