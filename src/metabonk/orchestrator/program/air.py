"""Going on air: the process that does it, and the routes of its switch and of its report."""

import time
from pathlib import Path

from fastapi import APIRouter, HTTPException

from metabonk.errors import SettingsError
from metabonk.messages.air import AIR, AirReport, AirStatus, AirSwitch
from metabonk.messages.base import Problem
from metabonk.orchestrator.fleet.on_air import OnAir
from metabonk.orchestrator.processes.children import common_arguments, metabonk
from metabonk.orchestrator.processes.supervisor import ChildSpec, Supervisor
from metabonk.settings import Settings
from metabonk.settings.environment import AIR_KEY
from metabonk.system.log_files import LogRotation

HUNG_AFTER_S = 10.0
"""A server that answers does within seconds. Nothing waits for this process, so that a busy machine
is no excuse for it, as it is for others."""


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
