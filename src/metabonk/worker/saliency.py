"""Works out where the network looks, for viewers who want to see it; nobody waits for it."""

import threading
import time
from typing import NamedTuple

from metabonk.games import Observation
from metabonk.policy import Actor, Decision
from metabonk.streaming.hub import Hub
from metabonk.system.process import lower_priority

PERIOD_S = 0.25
"""Between two maps: attention moves no faster than a person can follow."""


class DecisionFrame(NamedTuple):
    """A decision and the picture it led to.

    Attributes:
        captured_at: of the first picture after it, seconds, monotonic.
        observation: that it was made on.
        decision: that was made.
    """

    captured_at: float
    observation: Observation
    decision: Decision


class SaliencyThread:
    """A thread that sleeps while no viewer asks.

    Args:
        actor: whose network is looked into.
        hub: of the stream; brings the maps to those who asked.
    """

    def __init__(self, actor: Actor, hub: Hub) -> None:
        self._actor = actor
        self._hub = hub
        self._newest: DecisionFrame | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gaze", daemon=True)

    def start(self) -> None:
        """Starts the thread, if there are pictures to look at."""
        if self._actor.sees_pictures:
            self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def consider(self, considered: DecisionFrame) -> None:
        """Takes what was decided last."""
        self._newest = considered

    def _run(self) -> None:
        lower_priority()
        while not self._stop.wait(PERIOD_S):
            newest, self._newest = self._newest, None
            if newest is None or not self._hub.saliency_wanted():
                continue
            began = time.thread_time()
            cells = self._actor.attention(newest.observation, newest.decision)
            cost = (time.thread_time() - began) / PERIOD_S
            rows, columns = cells.shape
            self._hub.publish_saliency(newest.captured_at, columns, rows, cells.tobytes(), cost)
