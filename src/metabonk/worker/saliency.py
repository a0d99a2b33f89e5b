"""Saliency maps for viewers who ask for them, computed in the background."""

import time
from typing import NamedTuple

from metabonk.games import Observation
from metabonk.policy import Actor, Decision
from metabonk.streaming.hub import Hub
from metabonk.system.periodic_thread import PeriodicThread

PERIOD_S = 0.25
"""Time between two maps: saliency need not move faster than a person can follow."""


class DecisionFrame(NamedTuple):
    """A decision and the first frame it led to.

    Attributes:
        captured_at: of that frame, seconds, monotonic.
        observation: that the decision was made on.
        decision: that was made.
    """

    captured_at: float
    observation: Observation
    decision: Decision


class SaliencyThread:
    """Thread that is idle while no viewer asks.

    Args:
        actor: whose network is examined.
        hub: delivers the maps to the viewers who asked.
    """

    def __init__(self, actor: Actor, hub: Hub) -> None:
        self._actor = actor
        self._hub = hub
        self._newest: DecisionFrame | None = None
        self._thread = PeriodicThread(self._update, PERIOD_S, name="saliency", background=True)

    def start(self) -> None:
        """Start the thread, if observations are images."""
        if self._actor.observes_images:
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    def submit(self, decided: DecisionFrame) -> None:
        """Take the newest decision."""
        self._newest = decided

    def _update(self) -> None:
        newest, self._newest = self._newest, None
        if newest is None or not self._hub.saliency_wanted():
            return
        began = time.thread_time()
        cells = self._actor.saliency(newest.observation, newest.decision)
        cost = (time.thread_time() - began) / PERIOD_S
        rows, columns = cells.shape
        self._hub.publish_saliency(newest.captured_at, columns, rows, cells.tobytes(), cost)
