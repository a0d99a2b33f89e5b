"""A viewer on its own thread that records what arrives, and when."""

import io
import json
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import av
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from metabonk.encoding.access_unit import TIMESCALE
from metabonk.messages.workers import StreamState
from metabonk.streaming.gop import Timeline
from tests.support import http
from tests.support.fleet import FleetUnderTest
from tests.support.waiting import until

SILENCE_S = 0.25
RETRY_S = 0.1

CLOCK_TOLERANCE_S = 0.1
"""Allowed drift of a stream's clock."""

# ISO/IEC 14496-12, 8.8.12; version 1, as in every fragment of ours.
_TFDT = b"tfdt\x01\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Arrival:
    """Arrival of a frame.

    Attributes:
        at: monotonic seconds.
        time: of the frame on its epoch's clock, seconds.
    """

    at: float
    time: float


@dataclass
class Stretch:
    """Data of one epoch over one connection: a file that a decoder must accept."""

    data: bytearray
    arrivals: list[Arrival] = field(default_factory=list)

    def decoded(self) -> int:
        """Return the number of frames, counted by a decoder."""
        with av.open(io.BytesIO(bytes(self.data))) as container:
            return sum(1 for _ in container.decode(video=0))


class Spectator:
    """Viewer of ``ws://…/stream`` that reconnects whenever it is disconnected, as the page does.

    Args:
        address: of the worker or the page, ``http://…``.
        audience: ``dedicated`` keeps the worker's place, ``broadcast`` does not.
        path: of the WebSocket.
        keep: keep the data for a decoder.
    """

    def __init__(
        self, address: str, *, audience: str = "dedicated", path: str = "/stream", keep: bool = True
    ) -> None:
        self.address = f"{address.replace('http', 'ws', 1)}{path}?audience={audience}"
        self.stretches: list[Stretch] = []
        self._keep = keep
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="spectator", daemon=True)

    def __enter__(self) -> "Spectator":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def arrivals(self, since: float = 0.0) -> list[Arrival]:
        """Return the arrivals after ``since``, in order."""
        return [
            one
            for stretch in tuple(self.stretches)
            for one in tuple(stretch.arrivals)
            if one.at >= since
        ]

    def longest_gap(self, since: float, until: float) -> float:
        """Return the longest time without a frame between two moments, seconds."""
        moments = [since, *(one.at for one in self.arrivals(since) if one.at <= until), until]
        return max(later - earlier for earlier, later in pairwise(moments))

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self.address, max_size=None, compression=None) as socket:
                    self._listen(socket)
            except (OSError, WebSocketException):
                self._stop.wait(RETRY_S)

    def _listen(self, socket: ClientConnection) -> None:
        announced = False
        while not self._stop.is_set():
            try:
                message = socket.recv(SILENCE_S)
            except TimeoutError:
                continue
            if isinstance(message, str):
                announced = json.loads(message)["type"] == "epoch"
            elif announced:
                announced = False
                self.stretches.append(Stretch(bytearray(message)))
            else:
                arrival = Arrival(time.monotonic(), media_time(message))
                self.stretches[-1].arrivals.append(arrival)
                if self._keep:
                    self.stretches[-1].data += message


@contextmanager
def nobody_yields(fleet: FleetUnderTest) -> Iterator[str]:
    """Watch the live worker of two during the block; yield the other, which stays in standby."""
    shown = fleet.first_in(StreamState.LIVE)
    with Spectator(fleet.worker(shown.worker_index), keep=False) as spectator:
        until("it is watched", spectator.arrivals, 60)
        yield until("it keeps its place", lambda: _waiting(fleet, shown.instance_id), 60)


def _waiting(fleet: FleetUnderTest, shown: str) -> str | None:
    """Return the worker in standby once the director knows that the other one is watched."""
    featured = http.get(f"{fleet.orchestrator}/api/featured").raise_for_status().json()
    statuses = fleet.statuses()
    if featured["live"] != [shown] or statuses[shown].stream_dedicated_clients == 0:
        return None
    (other,) = (status for name, status in statuses.items() if name != shown)
    return other.instance_id if other.stream_state is StreamState.STANDBY else None


def media_time(fragment: bytes) -> float:
    """Return the time of a fragment's frame on its epoch's clock, seconds."""
    start = fragment.index(_TFDT) + len(_TFDT)
    return struct.unpack_from(">Q", fragment, start)[0] / TIMESCALE


def clock_drifts(arrivals: Sequence[Arrival], fps: int) -> list[float]:
    """Return the drift of the stream's clock against the wall clock in each stretch, seconds.

    A stretch ends where ``Timeline`` shortened a pause. Frames may be late but never early, so the
    least delay at the beginning of a stretch is compared with that at its end.
    """
    longest_step = (2 * Timeline(fps).duration - TIMESCALE // 1000 - 1) / TIMESCALE
    stretches: list[list[Arrival]] = [[]]
    for before, after in pairwise(arrivals):
        if after.time - before.time >= longest_step:
            stretches.append([])
        stretches[-1].append(after)
    drifts = []
    for stretch in stretches:
        if not stretch or stretch[-1].time - stretch[0].time < 6:
            continue
        delays = [one.at - one.time for one in stretch]
        third = len(delays) // 3
        drifts.append(abs(min(delays[-third:]) - min(delays[:third])))
    return drifts
