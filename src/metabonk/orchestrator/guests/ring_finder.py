"""Finds the environments that this user's trainers broadcast, and names them as guests."""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.places import find_rings, remove_ended, ring_folders
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.shadow_link import MARK
from metabonk.errors import StartError, WireError
from metabonk.messages.base import Problem
from metabonk.messages.workers import is_fleet_name
from metabonk.orchestrator.guests.election import Election
from metabonk.orchestrator.processes.faults import Faults
from metabonk.system.left_behind import end_lost_sessions
from metabonk.system.periodic_thread import PeriodicThread

log = logging.getLogger(__name__)

INTERVAL_S = 1.0

RESERVED = re.compile(
    r"orchestrator|learner|inference-\d+|fork-server|renderers|go2rtc|program|air|ray", re.ASCII
)
"""Names of other processes and their logs."""

USABLE = re.compile(r"\w[\w.-]*", re.ASCII)
"""Names that are a word in a command line, an address and a file's name."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A ring that was looked into.

    Attributes:
        file: that was there; a later one of the same path is another ring.
        mistake: why it can't be shown; None if it can.
    """

    file: tuple[int, int]
    mistake: str | None


class RingFinder:
    """Thread that looks for rings, while this process is the one that shows them.

    Args:
        election: that this process has to win.
    """

    name = "ring-finder"

    def __init__(self, election: Election) -> None:
        self._election = election
        self._faults = Faults()
        self._names: dict[Path, str] = {}
        self._seen: dict[Path, _Seen] = {}
        self._guests: Mapping[str, Path] = {}
        self._count = 0
        self._problems: list[Problem] = []
        self._thread = PeriodicThread(self._tick, INTERVAL_S, name=self.name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, and remove what killed trainers left behind since its last look."""
        self._thread.close()
        if self._election.is_won:
            _remove_ended()

    def revive(self) -> bool:
        """Start the thread again if an error has ended it; return whether it was."""
        return self._thread.revive()

    @property
    def guests(self) -> Mapping[str, Path]:
        """Rings that can be shown, as of the last look, by the name of their guest."""
        return self._guests

    @property
    def count(self) -> int:
        """Number of trainers' rings, as of the last look; those included that can't be shown."""
        return self._count

    def problems(self) -> list[Problem]:
        """Report the rings that can't be shown."""
        return [*self._problems, *self._faults.problems()]

    def _tick(self) -> None:
        with self._faults.survive("the look for broadcast environments"):
            self.look()

    def look(self) -> None:
        """Look for rings once.

        Raises:
            OSError: this process can't look.
        """
        try:
            files = self._find() if self._election.run() else []
        except StartError as error:
            self._guests, self._count = {}, 0
            self._problems = [
                Problem(
                    message=f"no environments of other trainers can be found: {error}",
                    action="the next look follows automatically",
                )
            ]
            return
        self._seen = {file: seen for file in files if (seen := self._look_into(file)) is not None}
        self._names = {file: name for file, name in self._names.items() if file in self._seen}
        for file in self._seen:
            if file not in self._names:
                self._names[file] = guest_name(file.stem, self._names.values())
        self._guests = {
            self._names[file]: file for file, seen in self._seen.items() if seen.mistake is None
        }
        self._problems = [
            Problem(
                message=f"{self._names[file]} can't be shown: {seen.mistake}",
                action="its training goes on; it is shown once both are of the same version",
            )
            for file, seen in self._seen.items()
            if seen.mistake is not None
        ]
        self._count = len(self._seen)

    def _find(self) -> list[Path]:
        """Return the rings, and remove what killed trainers left behind."""
        _remove_ended()
        return find_rings()

    def _look_into(self, file: Path) -> _Seen | None:
        """Return what is known of a ring; None if it has gone."""
        try:
            status = file.stat()
            identity, known = (status.st_dev, status.st_ino), self._seen.get(file)
            if known is not None and known.file == identity and known.mistake is None:
                return known
            mistake = _mistake(file)
        except OSError:
            return None
        if mistake is not None and (known is None or known.mistake != mistake):
            log.warning("%s can't be shown: %s", file, mistake)
        return _Seen(identity, mistake)


def _remove_ended() -> None:
    for folder in ring_folders():
        remove_ended(folder)
    if ended := end_lost_sessions(MARK):
        log.warning("ended what killed shadows had started: pid %s", ", ".join(map(str, ended)))


def guest_name(stem: str, taken: Iterable[str]) -> str:
    """Return the name of a guest, which no worker and no other process has.

    Args:
        stem: of the ring's file.
        taken: names of other guests.
    """
    is_usable = USABLE.fullmatch(stem) and not RESERVED.fullmatch(stem) and not is_fleet_name(stem)
    name = stem if is_usable else f"guest-{stem}"
    names, number = set(taken), 2
    while name in names:
        name, number = f"{stem}-{number}", number + 1
    return name


def _mistake(file: Path) -> str | None:
    """Return why a ring can't be shown; None if it can.

    Raises:
        OSError: it has gone.
    """
    try:
        reader = RingReader(file)
        try:
            Announcement.from_json(reader.announcement)
        finally:
            reader.close()
    except WireError as error:
        return str(error)
    return None
