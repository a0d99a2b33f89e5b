"""Connection between a shadow and the one who shows it.

Messages are JSON, one each; a shadow's ring, which has no name, is passed along with one. Whoever
notices that the other end has gone ends too.
"""

import dataclasses
import json
import select
import socket
from dataclasses import dataclass
from typing import Any, TypeVar

from metabonk.errors import WireError

MAX_MESSAGE = 1 << 14
"""Bytes."""

MAX_NOTE = 2000
"""Characters; more are cut off."""

SEND_TIMEOUT_S = 5.0

MARK = "METABONK_SHADOW"
"""Environment variable of shadows, and so of game engines that these start."""

M = TypeVar("M", "Wanted", "ShadowReport")


@dataclass(frozen=True)
class Wanted:
    """Wish of the one who shows a shadow.

    Attributes:
        fps: frames a second that are shown, 1 or more; tics between them are not drawn.
        ring: file of the trainer's ring; in the first message.
    """

    fps: int
    ring: str = ""


@dataclass(frozen=True)
class ShadowReport:
    """State of a shadow, once a second.

    Attributes:
        pid: of the shadow.
        steps_per_s: of the environment in the trainer; None: not known yet.
        is_inline: frames are the trainer's own, until an episode begins.
        note: what a viewer should know, in a sentence.
        has_failed: the environment can't be repeated, for the reason in ``note``.
    """

    pid: int
    steps_per_s: float | None = None
    is_inline: bool = False
    note: str = ""
    has_failed: bool = False


def encode(message: Wanted | ShadowReport) -> bytes:
    """Encode a message."""
    if isinstance(message, ShadowReport):
        message = dataclasses.replace(message, note=message.note[:MAX_NOTE])
    return json.dumps(dataclasses.asdict(message)).encode()


def decode(kind: type[M], data: bytes) -> M:
    """Decode a message of another process.

    Raises:
        WireError: it is no such message.
    """
    try:
        message = kind(**json.loads(data))
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError(f"a message between a shadow and its viewer is damaged: {error}") from None
    if not all(_has_type(message, field) for field in dataclasses.fields(kind)):
        raise WireError(f"a message between a shadow and its viewer is damaged: {message}")
    return message


def _has_type(message: Any, field: "dataclasses.Field[Any]") -> bool:
    value, kind = getattr(message, field.name), field.type
    if kind is int:
        return type(value) is int and value > 0
    if kind == float | None:
        return value is None or type(value) in (int, float)
    return type(value) is kind


class ShadowLink:
    """The shadow's end of the connection.

    Args:
        connection: keeps the bounds of messages.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(SEND_TIMEOUT_S)
        self._readable = select.poll()
        self._readable.register(connection, select.POLLIN)

    def receive(self, timeout_s: float) -> Wanted | None:
        """Wait for a message, which wakes at once; return None if there is none in time.

        Raises:
            ConnectionError: the other end has gone.
            WireError: it sent anything else.
        """
        if not self._readable.poll(max(0.0, 1000 * timeout_s)):
            return None
        data = self._connection.recv(MAX_MESSAGE)
        if not data:
            raise ConnectionResetError("the one who shows this shadow has gone")
        return decode(Wanted, data)

    def send(self, report: ShadowReport, ring: int | None = None) -> None:
        """Send a report.

        Args:
            report: to send.
            ring: descriptor of the ring from which frames are to be read from now on.

        Raises:
            ConnectionError: the other end has gone.
            TimeoutError: it does not read.
        """
        descriptors = [] if ring is None else [ring]
        socket.send_fds(self._connection, [encode(report)], descriptors)
