"""Waiting for something that another thread, task or process does in its own time."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from tests.support.machine_speed import SLOWNESS, slowness

POLL_S = 0.01
LONGEST_POLL_S = 0.1
"""A probe of a fleet takes the CPU from that fleet: the longer it lasts, the rarer the probes."""

POLL_SHARE = 0.05
"""Time between two probes as a share of the time waited so far."""

USUAL_S = 20.0
GENEROUS_S = USUAL_S * SLOWNESS
"""Enough on a loaded machine for what takes two seconds on an idle one."""

T = TypeVar("T")


def until(what: str, probe: Callable[[], T | None], timeout: float = USUAL_S) -> T:
    """Poll ``probe`` until it returns something true, and return that.

    Args:
        what: names the awaited event in the failure message.
        probe: may raise HTTP and OS errors while the other side isn't ready.
        timeout: seconds on the machine that such times are for; longer on a slower one, also if
            it has become slower since.

    Raises:
        AssertionError: nothing came in time; names ``what`` and the last error.
    """
    began = time.monotonic()
    last_error: object = None
    while not _is_over(waited := time.monotonic() - began, timeout):
        try:
            if found := probe():
                return found
        except (httpx.HTTPError, OSError) as error:
            last_error = error
        time.sleep(min(max(POLL_S, POLL_SHARE * waited), LONGEST_POLL_S))
    raise AssertionError(f"{what}: not within {waited:.0f} s; last error: {last_error}")


async def until_async(what: str, probe: Callable[[], object], timeout: float = USUAL_S) -> None:
    """Wait as ``until`` does, without blocking the event loop."""
    began = time.monotonic()
    while not probe():
        waited = time.monotonic() - began
        assert not _is_over(waited, timeout), f"{what}: not within {waited:.0f} s"
        await asyncio.sleep(POLL_S)


def _is_over(waited: float, timeout: float) -> bool:
    # Measured at the very end only, since it takes time of what is awaited.
    return waited >= timeout * SLOWNESS and waited >= timeout * slowness()
