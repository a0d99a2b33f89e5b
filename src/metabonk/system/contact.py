"""Log lines that another process does not answer, and that it does again: one of each."""

import logging
import time

log = logging.getLogger(__name__)

START_S = 60.0
"""Time for the other to start, in which it is not missed: it does not answer on any start."""


class Contact:
    """Logs that another process does not answer, and that it does again.

    Args:
        peer: as "the learner".
        meanwhile: what goes on without it, as "play continues without it".
    """

    def __init__(self, peer: str, meanwhile: str) -> None:
        self._peer = peer
        self._meanwhile = meanwhile
        self._is_missed = False
        self._expected_from = time.monotonic() + START_S

    def lost(self, error: Exception) -> None:
        """Note that it has not answered."""
        if not self._is_missed and time.monotonic() >= self._expected_from:
            self._is_missed = True
            log.warning("%s does not answer (%s); %s", self._peer, error, self._meanwhile)

    def found(self) -> None:
        """Note that it has answered."""
        if self._is_missed:
            log.info("%s answers again", self._peer)
        self._is_missed = False
        self._expected_from = float("-inf")
