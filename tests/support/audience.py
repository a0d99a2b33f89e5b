"""Many viewers of one stream on one asyncio loop; each records the fragments it receives."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

from websockets.asyncio.client import ClientConnection, connect

from metabonk.streaming.fmp4 import SYNC_SAMPLE

# ``moof``, then ``mfhd`` with its version and flags (ISO/IEC 14496-12, 8.8.4 and 8.8.5).
SEQUENCE_OFFSET = 8 + 8 + 4

# A sample's flags are the last word of ``trun``, in front of the size and name of ``mdat``.
FLAGS_BEFORE = 4 + 4


class Viewer:
    """A viewer that can stop reading without leaving.

    Attributes:
        numbers: of the fragments of this epoch, in order of arrival.
        keyframes: those at which decoding can start.
        epochs: seen so far.
        reads: cleared to stop reading.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.numbers: list[int] = []
        self.keyframes: set[int] = set()
        self.epochs = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self._socket = socket

    async def watch(self) -> None:
        """Read until cancelled or disconnected."""
        announced = False
        async for message in self._socket:
            await self.reads.wait()
            if isinstance(message, str):
                if json.loads(message)["type"] == "epoch":
                    announced = True
            elif announced:
                announced, self.epochs, self.numbers = False, self.epochs + 1, []
                self.keyframes.clear()
            else:
                (number,) = struct.unpack_from(">I", message, SEQUENCE_OFFSET)
                self.numbers.append(number)
                (flags,) = struct.unpack_from(">I", message, message.index(b"mdat") - FLAGS_BEFORE)
                if flags == SYNC_SAMPLE:
                    self.keyframes.add(number)

    def drop(self) -> None:
        """Abort the connection; a close handshake would wait for everything still to be sent."""
        self._socket.transport.abort()

    @property
    def lost(self) -> int:
        """Fragments missing between the first and the last."""
        return sum(after - before - 1 for before, after in pairwise(self.numbers))


@asynccontextmanager
async def audience(address: str, size: int) -> AsyncIterator[list[Viewer]]:
    """Connect ``size`` viewers and wait until each has received a frame."""
    async with AsyncExitStack() as stack:
        viewers, watching = [], []
        for _ in range(size):
            socket = await stack.enter_async_context(
                connect(address, max_size=None, compression=None, ping_interval=None)
            )
            viewers.append(Viewer(socket))
            watching.append(asyncio.create_task(viewers[-1].watch()))
        async with asyncio.timeout(60):
            while not all(viewer.numbers for viewer in viewers):
                await asyncio.sleep(0.05)
        yield viewers
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        for viewer in viewers:
            viewer.drop()


async def join_and_leave(address: str, *, abruptly: bool) -> None:
    """Join, receive a frame, and leave, with a close handshake or ``abruptly``."""
    async with connect(address, max_size=None, compression=None) as socket:
        async for message in socket:
            if isinstance(message, bytes) and message[4:8] == b"moof":
                break
        if abruptly:
            socket.transport.abort()
