"""How fast Python is here: times that tests wait and allow are those of one machine.

A shared machine may become slower during a run: see ``slowness``.
"""

import time

TURNS = 100_000
REFERENCE_S = 0.004
"""Processor time of as many turns of a loop on the machine that the times are for."""


def measure_slowness() -> float:
    """Return how many times longer Python takes here than there, at least 1."""
    return max(1.0, min(_loop_s() for _ in range(3)) / REFERENCE_S)


def _loop_s() -> float:
    began, turns = time.thread_time(), 0
    while turns < TURNS:
        turns += 1
    return time.thread_time() - began


SLOWNESS = measure_slowness()
"""When this process started."""


def slowness() -> float:
    """Return how many times longer Python takes than on that machine: now, or at the start."""
    return max(SLOWNESS, measure_slowness())
