"""Notices at once that a client has left, whatever is being sent meanwhile."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive

LEFT = ("http.disconnect", "websocket.disconnect")


async def until_gone(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Runs ``work`` until it ends or the client leaves; what the client sends is not read.

    Raises:
        Exception: whatever ``work`` raised.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait((working, leaving))
    for task in (leaving, working):
        if not task.cancelled():
            task.result()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] not in LEFT:
        pass
