"""Guests for tests: in a thread of the test, or as the process that a hub starts."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from metabonk.guest.process import Guest
from metabonk.messages.workers import DesiredState, GuestStatus, WorkerKind, WorkerStatus
from metabonk.settings import Settings, write_settings
from metabonk.worker.identity import Identity
from tests.support import http
from tests.support.orchestrator import Orchestrator
from tests.support.serving import free_ports
from tests.support.waiting import until

START_S = 60.0
"""A guest's process imports, and its encoder is probed."""


@dataclass
class ShownGuest:
    """A guest as its hub and its viewers know it.

    Attributes:
        orchestrator: stands in for the hub.
        url: of the guest.
        name: of the guest.
    """

    orchestrator: Orchestrator
    url: str
    name: str

    @property
    def status(self) -> WorkerStatus:
        """The status of now."""
        return WorkerStatus.model_validate(http.get(f"{self.url}/status").json())

    @property
    def guest(self) -> GuestStatus:
        """The guest's share of it."""
        guest = self.status.guest
        assert guest is not None
        return guest

    def snapshot(self) -> bytes | None:
        """Return the newest picture as JPEG; None: there is none yet."""
        answer = http.get(f"{self.url}/snapshot.jpg")
        return answer.content if answer.status_code == httpx.codes.OK else None

    def go_live(self) -> None:
        """Have it streamed."""
        self.orchestrator.desired = DesiredState.LIVE
        until("it is live", lambda: self.status.stream_fps > 0, START_S)

    def rest(self) -> None:
        """Have it streamed no more."""
        self.orchestrator.desired = DesiredState.STANDBY
        until("standby", lambda: self.status.stream_backend == "")


def make_settings(folder: Path, port: int) -> Settings:
    """Return the settings of a hub."""
    return Settings.model_validate(
        {
            "ports": {"orchestrator": port},
            "paths": {"runtime": str(folder / "runtime")},
            "stream": {"width": 640, "height": 360, "fps": 30, "engine": "av", "adaptive": False},
        }
    )


@contextlib.contextmanager
def shown_guest(folder: Path, ring: Path) -> Iterator[tuple[ShownGuest, Guest]]:
    """Show a ring for the block, in a thread of this process."""
    orchestrator_port, port = free_ports(2)
    settings = make_settings(folder, orchestrator_port)
    file = folder / "settings.json"
    write_settings(settings, file)
    stopped = threading.Event()
    identity = Identity(ring.stem, 2, port, WorkerKind.GUEST)
    with Orchestrator(orchestrator_port) as orchestrator:
        guest = Guest(settings, file, identity, ring, os.getpid())
        with contextlib.closing(guest):
            guest.start()
            thread = threading.Thread(target=guest.run, args=[stopped.wait], name="guest")
            thread.start()
            try:
                yield ShownGuest(orchestrator, f"http://127.0.0.1:{port}", ring.stem), guest
            finally:
                stopped.set()
                thread.join()


@contextlib.contextmanager
def guest_process(
    folder: Path, ring: Path
) -> Iterator[tuple[ShownGuest, "subprocess.Popen[bytes]"]]:
    """Show a ring for the block, in a process as a hub starts it; its log is ``guest.log``."""
    orchestrator_port, port = free_ports(2)
    file = folder / "settings.json"
    write_settings(make_settings(folder, orchestrator_port), file)
    command = (
        *(sys.executable, "-m", "metabonk.cli.main", "guest"),
        *("--settings", str(file), "--run", str(folder), "--parent", str(os.getpid())),
        *("--index", "2", "--name", ring.stem, "--port", str(port), "--ring", str(ring)),
    )
    with (
        Orchestrator(orchestrator_port) as orchestrator,
        (folder / "guest.log").open("wb") as log,
        subprocess.Popen(command, stderr=log) as process,
    ):
        try:
            until("a heartbeat", lambda: orchestrator.heartbeats, START_S)
            yield ShownGuest(orchestrator, f"http://127.0.0.1:{port}", ring.stem), process
        finally:
            process.kill()
