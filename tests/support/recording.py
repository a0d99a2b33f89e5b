"""An endless response as a player gets it: one connection, one file."""

import io
import threading

import av
import httpx

from tests.support.machine_speed import SLOWNESS
from tests.support.waiting import until

MAX_GAP_S = 1.0 * SLOWNESS
"""Longest time without a picture that a program may have."""


class Recording:
    """What a player was sent over one connection."""

    def __init__(self, client: httpx.Client, path: str) -> None:
        self.data = bytearray()
        self._client = client
        self._path = path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._record)

    def __enter__(self) -> "Recording":
        self._thread.start()
        until("the program is on", lambda: self.data)
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def wait_for_more(self, seconds: float = 0.4) -> None:
        """Watch a little longer."""
        assert not self._ended.wait(seconds)

    def _record(self) -> None:
        with self._client.stream("GET", self._path) as response:
            for chunk in response.iter_raw():
                self.data += chunk
                if self._ended.is_set():
                    return
            raise AssertionError("the program ended")


def frames_of(data: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(data), format="mpegts") as container:
        return list(container.decode(video=0))


def times_of(data: bytes) -> list[float]:
    with av.open(io.BytesIO(data), format="mpegts") as container:
        return [
            float(packet.dts * packet.time_base)
            for packet in container.demux(video=0)
            if packet.dts is not None and packet.time_base is not None
        ]
