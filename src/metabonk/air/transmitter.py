"""The loop that keeps the program on air."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from av.error import FFmpegError
from pydantic import ValidationError
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from metabonk.air.backoff import Backoff
from metabonk.air.output import Output
from metabonk.air.target import KeyMask, Target
from metabonk.air.whip import WhipError, transmit
from metabonk.errors import WireError
from metabonk.messages.air import AirReport, AirState
from metabonk.messages.base import MAX_LONG_TEXT
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.relay import MAX_MESSAGE_BYTES
from metabonk.streaming.unpack import StreamReader

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
SILENCE_S = 10.0
"""The program is never silent for this long: its connection is dead."""

TURN_S = 0.5
MAX_QUEUED = 4
"""Messages of the program here; what a stalled server leaves waits, and is dropped, before."""


class NoProgram(Exception):
    """The program does not come."""


class Transmitter:
    """Sends the program to a target for ever, whatever happens there.

    Args:
        program: address of the program's WebSocket.
        target: where to.
        mask: hides its key.
        pid: of this process.
    """

    def __init__(self, program: str, target: Target, mask: KeyMask, pid: int) -> None:
        self._program = program
        self._target = target
        self._mask = mask
        self._pid = pid
        self._stopped = threading.Event()
        self._backoff = Backoff()
        self._lock = threading.Lock()
        self._turns = self._connections = self._frames = 0
        self._state = AirState.CONNECTING
        self._on_air_since: float | None = None
        self._error: str | None = None

    def run(self) -> None:
        """Send until it is stopped."""
        while not self._stopped.is_set():
            began = time.monotonic()
            self._set(AirState.CONNECTING)
            try:
                if self._target.format == "whip":
                    self._transmit_by_whip()
                else:
                    self._transmit()
            except (FFmpegError, OSError) as error:
                self._fail(f"{self._trouble()}: {error.strerror or error}")
            except (NoProgram, WhipError) as error:
                self._fail(str(error))
            if not self._stopped.is_set():
                self._pause(self._backoff.after(time.monotonic() - began))

    def stop(self) -> None:
        """Let ``run`` end; returns at once."""
        self._stopped.set()

    def report(self) -> AirReport:
        """Return what it is doing; thread-safe."""
        with self._lock:
            return AirReport(
                pid=self._pid,
                turns=self._turns,
                state=self._state,
                connections=self._connections,
                frames=self._frames,
                on_air_since=self._on_air_since,
                error=self._error,
            )

    def _transmit(self) -> None:
        """Send the program over one connection.

        Raises:
            NoProgram: there is nothing to send.
            FFmpegError: the other side is lost.
            OSError: the folder can't be written.
        """
        epoch: Epoch | None = None
        with contextlib.ExitStack() as closed:
            output: Output | None = None
            for item in self._items():
                if isinstance(item, Epoch):
                    epoch = item
                    if output is not None:
                        output.begin(item)
                    continue
                if output is None:
                    assert epoch is not None, "an epoch begins before its frames"
                    output = Output(self._target, epoch)
                    closed.callback(_close, output)
                output.send(item)
                self._sent()

    def _transmit_by_whip(self) -> None:
        """Send the program over one WebRTC connection.

        Raises:
            WhipError: the other side is lost, or there is nothing to send.
        """
        sending = transmit(
            self._program, self._target, self._stopped, on_frame=self._sent, on_turn=self._turn
        )
        asyncio.run(sending)

    def _items(self) -> Iterator[Epoch | Fragment]:
        """Yield the program from a keyframe on, until it is stopped.

        Raises:
            NoProgram: it does not come, or ends.
        """
        reader = StreamReader()
        try:
            with connect(
                self._program,
                proxy=None,
                compression=None,
                open_timeout=OPEN_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                max_queue=MAX_QUEUED,
            ) as program:
                while not self._stopped.is_set():
                    item = reader.read(program.recv(SILENCE_S), time.monotonic())
                    self._turn()
                    if isinstance(item, Epoch | Fragment):
                        yield item
        except TimeoutError:
            raise NoProgram("the program does not come") from None
        except (OSError, WebSocketException, WireError, ValidationError) as error:
            raise NoProgram(f"the program broke off: {error}") from None

    def _sent(self) -> None:
        with self._lock:
            self._frames += 1
            if self._state is AirState.ON_AIR:
                return
            self._state, self._error = AirState.ON_AIR, None
            self._connections += 1
            self._on_air_since = time.time()
        log.info("on air")

    def _trouble(self) -> str:
        if self._target.format == "hls":
            return "the folder can't be written"
        is_on_air = self._state is AirState.ON_AIR
        return f"the connection to the server {'broke' if is_on_air else 'can not be made'}"

    def _fail(self, reason: str) -> None:
        reason = self._mask(reason)[:MAX_LONG_TEXT]
        log.warning("off air: %s", reason)
        with self._lock:
            self._error, self._on_air_since = reason, None

    def _set(self, state: AirState) -> None:
        with self._lock:
            self._state = state

    def _turn(self) -> None:
        with self._lock:
            self._turns += 1

    def _pause(self, seconds: float) -> None:
        self._set(AirState.WAITING)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stopped.wait(min(TURN_S, left)):
            self._turn()


def _close(output: Output) -> None:
    # The other side may be what is lost.
    with contextlib.suppress(FFmpegError):
        output.close()
