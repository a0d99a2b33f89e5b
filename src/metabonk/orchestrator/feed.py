"""The fleet as it changes, once a second for all pages that are open.

A page is sent what has changed since the last time, not everything: of 64 workers that is a tenth.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metabonk.messages.feed import FleetChange, Opening
from metabonk.messages.fleet import Featured, Fleet
from metabonk.orchestrator.fleet.state import FleetState

INTERVAL_S = 1.0
WORKERS = "workers"


@dataclass(frozen=True)
class View:
    """State of the fleet as pages show it at one time.

    Attributes:
        fleet: the fleet; None before a page was told anything.
        featured: the featured workers; likewise.
    """

    fleet: Fleet | None = None
    featured: Featured | None = None

    def since(self, earlier: "View") -> FleetChange:
        """Return what has changed since an earlier view."""
        workers, known = self._fields[WORKERS], earlier._fields[WORKERS]
        changes = {
            name: changed
            for name, status in workers.items()
            if (changed := _changed(status, known.get(name, {})))
        }
        fleet = _changed(self._fields, earlier._fields)
        fleet.pop(WORKERS, None)
        return FleetChange(
            fleet=fleet,
            workers=changes,
            gone=[name for name in known if name not in workers],
            featured=None if self.featured == earlier.featured else self.featured,
        )

    @cached_property
    def _fields(self) -> dict[str, Any]:
        return {WORKERS: {}} if self.fleet is None else self.fleet.model_dump(mode="json")


NOTHING = View()
"""View of a page that has been told nothing yet."""


class Feed:
    """Newest view of the fleet, made once for all pages. Thread-safe.

    Args:
        state: of the fleet.
        clock: monotonic seconds.
    """

    def __init__(self, state: FleetState, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()
        self._view = NOTHING
        self._made_at = float("-inf")

    def view(self) -> View:
        """Return a view that is half an interval old at most."""
        with self._lock:
            if self._clock() - self._made_at > INTERVAL_S / 2:
                self._view = View(self._state.fleet(), self._state.featured())
                self._made_at = self._clock()
            return self._view

    def opening(self) -> str:
        """Return what a page shows first, as JSON that may stand in HTML."""
        opening = Opening(fleet=self._state.fleet(), featured=self._state.featured())
        return opening.model_dump_json().replace("<", "\\u003c")


def _changed(now: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    missing = object()
    return {name: value for name, value in now.items() if before.get(name, missing) != value}
