"""Pictures of a shadow, a process that repeats the trainer's episodes."""

import contextlib
import hashlib
import logging
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

from metabonk.broadcast.announcement import Recipe
from metabonk.broadcast.records import Record, decode_payload
from metabonk.broadcast.ring_layout import FORMAT
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.shadow_link import MARK, MAX_MESSAGE, ShadowReport, Wanted, decode, encode
from metabonk.errors import ReplayError
from metabonk.guest.description import modules_of
from metabonk.guest.trainer_environment import trainer_environment
from metabonk.messages.workers import Drawn
from metabonk.system import peers

log = logging.getLogger(__name__)

CONNECT_S = 1.0
START_S = 30.0
"""Time for the process that forks shadows to start: it may import from a slow disk."""

MAKE_S = 90.0
"""Time for a shadow to make its copy of the environment."""

HANG_S = 10.0
"""Time without a report, of which there is one a second, after which a shadow hangs."""

MAX_FAILURES = 3
LASTED_S = 30.0
"""Life of a shadow after which its end is not taken for the environment's fault."""


class ShadowSource:
    """Has a shadow made while frames are wanted, and reads its ring.

    Args:
        ring: file of the trainer's ring.
        trainer: process that writes it (pid).
        recipe: of the copy of its environment.
        owner: process whose guests share one that forks shadows (pid).
    """

    def __init__(self, ring: Path, trainer: int, recipe: Recipe, owner: int) -> None:
        self._ring, self._trainer, self._recipe = ring, trainer, recipe
        self._name = host_name(recipe, owner)
        self._host: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._reader: RingReader | None = None
        self._report: ShadowReport | None = None
        self._fps = 0
        self._missed = 0
        self._asked_at: float | None = None
        self._connected_at = self._heard_at = self._read_at = 0.0
        self._failures = 0

    @property
    def drawn(self) -> Drawn:
        """The shadow; or the trainer, until an episode begins."""
        is_inline = self._report is not None and self._report.is_inline
        return Drawn.INLINE if is_inline else Drawn.SHADOW

    @property
    def note(self) -> str:
        """Sentence of the shadow."""
        return self._report.note if self._report else ""

    @property
    def steps_per_s(self) -> float | None:
        """Steps per second of the environment in the trainer."""
        return self._report.steps_per_s if self._report else None

    def ask(self, fps: int) -> None:
        """Have a shadow show so many frames a second; see ``Source.ask``."""
        self._reap_host()
        if self._connection is None:
            self._connect()
        if self._connection is not None and fps != self._fps:
            self._fps = fps
            with contextlib.suppress(OSError):  # ``read`` notices its end.
                self._connection.send(encode(Wanted(fps, str(self._ring))))

    def read(self) -> tuple[list[Record], bool]:
        """Return the shadow's records; see ``Source.read``."""
        found, has_gap = self._records()
        if self._connection is not None:
            rings = self._receive(self._connection)
            for descriptor in rings:
                more, missed = self._records()
                found, has_gap = found + more, has_gap or missed
                self._change_ring(RingReader(descriptor))
        return found, has_gap

    def close(self) -> None:
        """End the shadow, and forget how often it failed."""
        self._disconnect()
        self._failures = 0

    def _connect(self) -> None:
        """Connect to the process that forks shadows, or start it."""
        now = time.monotonic()
        self._asked_at = self._asked_at or now
        try:
            self._connection = peers.connect(self._name, CONNECT_S)
        except ConnectionRefusedError:
            self._start_host()
        except OSError as error:
            log.warning("no shadow yet: %s", error)
        else:
            self._connection.setblocking(False)
            self._fps, self._report, self._asked_at = 0, None, None
            self._connected_at = self._heard_at = self._read_at = now
            return
        if now - self._asked_at > START_S:
            raise ReplayError(
                f"it can't be repeated: {self._recipe.python}, by which its trainer runs, did not "
                f"start within {START_S:.0f} s"
            )

    def _start_host(self) -> None:
        if self._host is not None:
            return
        # As in the trainer: its variables, its folder, and where it finds what it imports.
        environment = {
            **(trainer_environment(self._trainer, self._ring) or os.environ),
            "PYTHONPATH": os.pathsep.join(self._recipe.path),
            "METABONK_BROADCAST": "0",
            MARK: "1",
        }
        command = (self._recipe.python, "-P", "-m", "metabonk.broadcast.shadow_process")
        try:
            self._host = subprocess.Popen(
                (*command, self._name, *modules_of(self._recipe)),
                cwd=self._recipe.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Other guests share it, and it ends after the last.
            )
        except OSError as error:
            raise ReplayError(
                f"it can't be repeated: {self._recipe.python}, by which its trainer runs, can't be "
                f"started in {self._recipe.folder} ({error.strerror})"
            ) from None
        # It may end at any time, and is no zombie then.
        threading.Thread(target=self._host.wait, name="shadow-host", daemon=True).start()

    def _reap_host(self) -> None:
        if self._host is None or (code := self._host.poll()) is None:
            return
        self._host = None
        if code > 0:  # One that was killed is followed by another.
            raise ReplayError(
                f"it can't be repeated: {self._recipe.python}, by which its trainer runs, ended "
                f"with exit code {code}; its last words are in the log of this guest"
            )

    def _receive(self, connection: socket.socket) -> list[int]:
        """Take the shadow's reports; return the descriptors of its new rings."""
        now, rings = time.monotonic(), list[int]()
        # A while in which this process did not run, as in suspend, counts for nobody.
        self._heard_at += max(0.0, now - self._read_at - HANG_S / 2)
        self._read_at = now
        try:
            while True:
                data, descriptors, _, _ = socket.recv_fds(connection, MAX_MESSAGE, 1)
                rings += descriptors
                if not data:
                    self._fail("ended unexpectedly")
                    return rings
                self._report, self._heard_at = decode(ShadowReport, data), now
                if self._report.has_failed:
                    for descriptor in rings:
                        os.close(descriptor)
                    raise ReplayError(self._report.note)
        except BlockingIOError:
            pass
        except OSError:
            self._fail("ended unexpectedly")
        if now - self._heard_at > (MAKE_S if self._report is None else HANG_S):
            self._fail(f"did not answer for {now - self._heard_at:.0f} s")
        return rings

    def _fail(self, how: str) -> None:
        """Count the end of a shadow; another one is started, unless that fails again and again."""
        lasted_s = time.monotonic() - self._connected_at
        self._failures = 1 if lasted_s > LASTED_S else self._failures + 1
        log.warning("its shadow %s after %.0f s", how, lasted_s)
        self._disconnect()
        if self._failures >= MAX_FAILURES:
            raise ReplayError(
                f"it can't be repeated: {self._failures} times in a row, its shadow {how}"
            )

    def _records(self) -> tuple[list[Record], bool]:
        if self._reader is None:
            return [], False
        entries = self._reader.read()
        has_gap, self._missed = self._reader.missed > self._missed, self._reader.missed
        found = [record for each in entries for record in decode_payload(each.payload, each.pixels)]
        return found, has_gap

    def _change_ring(self, reader: RingReader | None) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._missed = reader, 0

    def _disconnect(self) -> None:
        """End the shadow, which notices; the process that forked it ends one that does not."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._report = self._asked_at = None
        self._fps = 0
        self._change_ring(None)


def host_name(recipe: Recipe, owner: int) -> str:
    """Return the name of the process that forks shadows for such environments.

    Args:
        recipe: of the copy of an environment.
        owner: process whose guests share it (pid).
    """
    same = "\0".join((recipe.python, recipe.folder, *recipe.path))
    return f"shadows-{FORMAT}-{owner}-{hashlib.sha256(same.encode()).hexdigest()[:16]}"
