"""Alerts: a thread that looks for incidents, and tells a webhook of each. Nothing waits for it."""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from fastapi import APIRouter

from metabonk.doctor.host import MIN_FREE_DISK, free_disk
from metabonk.messages.alerts import Incident
from metabonk.messages.base import Problem
from metabonk.messages.workers import Mode
from metabonk.orchestrator.alerts.webhook import post_of
from metabonk.orchestrator.fleet.incidents import Observation, Watch
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.settings import Settings
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
TIMEOUT_S = 10.0

MAX_PENDING = 50
"""Incidents that wait for a webhook that does not answer; then the oldest are dropped."""

FIRST_RETRY_S, MAX_RETRY_S = 2.0, 300.0
MEGABYTE = 1_000_000


class Alerts:
    """Thread that finds incidents and reports them.

    Args:
        state: of the fleet.
        restarts: returns how often each process was restarted, by name.
        run: name of the run.
    """

    name = "alerts"

    def __init__(
        self, state: FleetState, restarts: Callable[[], Mapping[str, int]], run: str
    ) -> None:
        self._state = state
        self._restarts = restarts
        self._run = run
        webhook = state.settings.alerts.webhook
        self._webhook = None if webhook is None else webhook.get_secret_value()
        self._watch = Watch(60.0 * state.settings.alerts.no_progress_min, time.monotonic())
        self._pending: deque[Incident] = deque(maxlen=MAX_PENDING)
        self._retry_s = FIRST_RETRY_S
        self._next_at = float("-inf")
        self._trouble: str | None = None
        self._thread = PeriodicThread(self._tick, INTERVAL_S, name=self.name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, without waiting for the webhook."""
        self._thread.close(0.0)

    def revive(self) -> bool:
        """Start the thread again if an error has ended it; return whether it was."""
        return self._thread.revive()

    def tick(self) -> None:
        """Do nothing: the thread does it."""

    def problems(self) -> list[Problem]:
        """Report a webhook that takes nothing."""
        if (trouble := self._trouble) is None:
            return []
        return [
            Problem(
                message=f"the webhook for alerts takes nothing: {trouble}",
                action="check alerts.webhook; incidents wait and are sent automatically",
            )
        ]

    def _tick(self) -> None:
        now = time.monotonic()
        begun = self._state.incidents.update(self._watch.find(self._observe(now)), now, time.time())
        for incident in begun:
            self._state.events.on_incident(incident)
            log.error("%s: %s; %s", incident.severity, incident.message, incident.action)
        if self._webhook is not None:
            self._pending.extend(begun)
            if self._pending and now >= self._next_at:
                self._send(self._webhook)

    def _observe(self, now: float) -> Observation:
        fleet = self._state.fleet()
        return Observation(
            now,
            learns=self._state.settings.mode is Mode.TRAIN,
            learner=fleet.learner,
            workers=list(fleet.workers.values()),
            restarts=self._restarts(),
            full=full_disks(self._state.settings),
        )

    def _send(self, webhook: str) -> None:
        post = post_of(webhook, self._pending[0], self._run)
        try:
            response = httpx.post(
                webhook, content=post.content, headers=post.headers, timeout=TIMEOUT_S
            )
            response.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Its text has the address, which is a secret.
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = f"it answers {status}" if status else type(error).__name__
            host = urlsplit(webhook).hostname
            if self._trouble is None:
                log.warning("the webhook at %s takes nothing: %s", host, reason)
            self._trouble = reason
            self._next_at = time.monotonic() + self._retry_s
            self._retry_s = min(MAX_RETRY_S, 2 * self._retry_s)
            return
        self._pending.popleft()
        self._trouble, self._retry_s = None, FIRST_RETRY_S


def full_disks(settings: Settings) -> dict[Path, int]:
    """Return the folders on disks that are nearly full, with their free megabytes."""
    free: dict[Path, int] = {}
    for folder in (settings.paths.runs, settings.paths.logs):
        try:
            available = free_disk(folder)
        except OSError:
            continue  # Without the folder, other problems say so.
        if available < MIN_FREE_DISK:
            free[folder] = available // MEGABYTE
    return free


def incident_routes(state: FleetState) -> APIRouter:
    """Return the route of the incidents.

    Args:
        state: of the fleet.
    """
    router = APIRouter(tags=["alerts"])

    @router.get("/api/incidents")
    def get_incidents() -> list[Incident]:
        """Incidents that last: what somebody should be woken for."""
        return list(state.incidents.active)

    return router
