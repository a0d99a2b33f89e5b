"""Going on air: the switch, the report, and the process that does it."""

import threading
import time
from pathlib import Path

from fastapi import APIRouter, HTTPException

from metabonk.air_messages import AIR, AirReport, AirStatus, AirSwitch
from metabonk.errors import SettingsError
from metabonk.messages import Problem
from metabonk.orchestrator.children import common_arguments, metabonk
from metabonk.orchestrator.supervisor import ChildSpec, Supervisor
from metabonk.settings import Settings
from metabonk.settings.environment import AIR_KEY
from metabonk.system.log_files import LogRotation

HUNG_AFTER_S = 10.0
"""A server that answers does within seconds. Nothing waits for this process, so that a busy machine
is no excuse for it, as it is for others."""


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


class Transmission:
    """Keeps the process running while the program is to go on air.

    Args:
        on_air: says so.
        settings: of the fleet or the hub.
        supervisor: runs it.
        rotation: of its log.
        settings_file: holds the settings for it.
        folder: of the run, or of the hub.
    """

    def __init__(
        self,
        on_air: OnAir,
        settings: Settings,
        supervisor: Supervisor,
        rotation: LogRotation,
        *,
        settings_file: Path,
        folder: Path,
    ) -> None:
        self._on_air = on_air
        self._supervisor = supervisor
        self._log = settings.paths.logs / f"{AIR}.log"
        self._rotation = rotation
        command = metabonk(AIR, *common_arguments(settings_file, folder))
        key = settings.air.key
        self._spec = ChildSpec(
            AIR,
            lambda: command,
            self._log,
            vital=False,
            # Where the process list does not show it.
            environment={AIR_KEY: key.get_secret_value()} if key is not None else {},
            forked=True,
            starts_quickly=True,
        )
        self._is_running = False

    def tick(self) -> None:
        """Start or end it, as is wanted; replace it where a server keeps it."""
        self._replace_hung()
        wanted = self._on_air.is_wanted
        if wanted == self._is_running:
            return
        # The one before may still be ending.
        if wanted and AIR not in self._supervisor.states():
            self._rotation.add(self._log)
            self._supervisor.add(self._spec)
            self._is_running = True
        elif not wanted:
            self._supervisor.remove(AIR)
            self._on_air.forget()
            self._is_running = False

    def _replace_hung(self) -> None:
        process = self._supervisor.running().get(AIR)
        if process is None:
            return
        hung_s = self._on_air.hangs_for(process.pid, time.monotonic())
        if hung_s >= HUNG_AFTER_S:
            reason = f"the server has not answered for {hung_s:.0f} s"
            self._supervisor.stop_hung(process, reason, is_silent=True)

    def problems(self) -> list[Problem]:
        """Report why it is not on air."""
        report = self._on_air.report
        if report is None or report.error is None:
            return []
        return [
            Problem(
                message=f"not on air: {report.error}",
                action="tried again automatically; see logs/air.log",
            )
        ]


def air_routes(on_air: OnAir) -> APIRouter:
    """Return the routes of the page: what is on air, and its switch."""
    router = APIRouter(tags=["air"])

    @router.get("/api/air")
    def get_air() -> AirStatus:
        """State of what goes on air."""
        return on_air.status()

    @router.put("/api/air")
    def put_air(switch: AirSwitch) -> AirStatus:
        """Go on air, or off; where to is a setting."""
        try:
            on_air.switch(on=switch.on)
        except SettingsError as error:
            raise HTTPException(409, str(error)) from None
        return on_air.status()

    return router


def report_routes(on_air: OnAir) -> APIRouter:
    """Return the route that the process reports to; not for other machines."""
    router = APIRouter(tags=["air"])

    @router.post("/api/air/report", status_code=204)
    def post_report(report: AirReport) -> None:
        """Take a report."""
        on_air.take(report, time.monotonic())

    return router
