"""Responses that end when their client has left."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive

DISCONNECTS = ("http.disconnect", "websocket.disconnect")


async def run_until_disconnect(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` until it ends or the client disconnects, even in the middle of a send.

    Messages from the client are discarded.

    Raises:
        Exception: whatever ``work`` raised.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait((working, leaving))
    for task in (leaving, working):
        if not task.cancelled():
            task.result()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] not in DISCONNECTS:
        pass
