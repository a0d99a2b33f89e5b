"""The process of a guest: an environment of another trainer, shown as a worker is."""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.records import FrameRecord, Note, Record
from metabonk.broadcast.ring_reader import RingReader
from metabonk.errors import ReplayError, WireError
from metabonk.guest.description import game_of, why_not_inline
from metabonk.guest.episode import ShownEpisode, number
from metabonk.guest.inline_source import InlineSource
from metabonk.guest.screen import Screen
from metabonk.guest.shadow_source import ShadowSource
from metabonk.guest.source import Source
from metabonk.messages.base import MAX_LONG_TEXT, Loop
from metabonk.messages.workers import Counters, Drawn, GuestStatus
from metabonk.settings import Settings
from metabonk.system.file_lock import is_locked
from metabonk.system.process import SERVING_NICE, StopSignal, lower_priority
from metabonk.system.rate import Rate
from metabonk.worker.identity import Identity
from metabonk.worker.progress import LoopTurns
from metabonk.worker.status import SourceStatus
from metabonk.worker.stream import WorkerStream

log = logging.getLogger(__name__)

SNAPSHOT_WANTED_S = 15.0
"""Time for which a frame a second is drawn after somebody asked for a snapshot."""

LIVE_POLL_S = 0.005
STANDBY_POLL_S = 0.2
IDLE_POLL_S = 0.1
"""Pauses between two looks at what is new: live, for snapshots, and while nobody looks."""

LIFE_CHECK_S = 0.5
GONE_S = 1.5
"""Time without a locked ring after which the trainer is gone: it may be making a larger ring."""

MICROSECOND = 1e-6


class Guest:
    """One guest.

    Args:
        settings: of the hub or fleet.
        settings_file: they were read from.
        identity: of the guest.
        ring: file of the trainer's ring.
        owner: process whose guests share what makes shadows (pid).

    Attributes:
        stream: shows it.

    Raises:
        OSError: the ring is gone.
        WireError: it is of another version, or damaged.
        MetaBonkError: see ``WorkerStream``.
    """

    def __init__(
        self, settings: Settings, settings_file: Path, identity: Identity, ring: Path, owner: int
    ) -> None:
        reader = RingReader(ring)
        self._announcement = Announcement.from_json(reader.announcement)
        self._ring = ring
        self._settings = settings
        self._inline = InlineSource(reader, why_not_inline(self._announcement))
        recipe = self._announcement.recipe
        self._source: Source = self._inline
        self._note = ""
        if recipe is not None:
            self._source = ShadowSource(ring, self._announcement.pid, recipe, owner)
        elif self._announcement.draw == "auto" and self._announcement.kind == "environment":
            self._note = "it is drawn in its trainer, as it can't be repeated: " + (
                self._announcement.no_recipe
            )
        self.stream = WorkerStream(settings, settings_file, identity)
        self._screen = Screen(self.stream, self._announcement.fps)
        self._episode = ShownEpisode(has_episodes=self._announcement.kind == "environment")
        self._turns = LoopTurns()
        self._drawing = Rate()
        self._is_shown = self._can_draw = True
        self._looked_at = self._there_at = time.monotonic()

    def start(self) -> None:
        """Serve and report the stream.

        Raises:
            StartError: the port can't be used.
        """
        self.stream.start(self.status, self._announcement.actions)
        # It is drawn as large as it is, whoever looks.
        self.stream.on_episode_start(large=True)

    def run(self, stopped: Callable[[float], bool]) -> None:
        """Show it until it is gone.

        Args:
            stopped: waits for so many seconds; returns true once the process is to end.
        """
        pause_s = 0.0
        with self._turns.running(Loop.LIVE):
            while not stopped(pause_s) and self._is_there():
                self._turns.count(Loop.LIVE)
                fps = self._wanted_fps()
                pause_s = self._rest() if fps is None else self._show(fps)

    def close(self) -> None:
        """Ask for nothing any more, and release the encoder session."""
        self._source.close()
        self._inline.close()
        self.stream.close()

    def status(self) -> SourceStatus:
        """Return the trainer's share of the status; thread-safe."""
        episode, source = self._episode, self._source
        steps_per_s = source.steps_per_s
        is_inline = source.drawn is Drawn.INLINE
        cost = self._drawing.per_second() * MICROSECOND
        guest = GuestStatus(
            trainer_pid=self._announcement.pid,
            trainer_steps_per_s=steps_per_s,
            episode_step=episode.steps,
            episode_return=episode.total_reward,
            drawn=source.drawn if self._is_shown and self._can_draw else None,
            drawing_cost=round(cost, 4) if is_inline and self._is_shown else None,
            note=(self._note or source.note)[:MAX_LONG_TEXT] or None,
        )
        return SourceStatus(
            source_size=self._screen.size,
            observation_size=(0, 0),
            counters=Counters(episode.steps_shown, episode.number),
            steps_per_s=number(steps_per_s or 0.0),
            episode_return=episode.last_return,
            policy_version=None,
            turns=self._turns.of_running(),
            guest=guest,
            game=game_of(self._announcement),
        )

    def _is_there(self) -> bool:
        """Tell whether the trainer is there, now and then."""
        now = time.monotonic()
        if now - self._looked_at < LIFE_CHECK_S:
            return True
        self._looked_at = now
        if is_locked(self._ring):
            self._there_at = now
        return now - self._there_at < GONE_S

    def _wanted_fps(self) -> int | None:
        """Return how many frames a second are wanted; None: none."""
        if not self._can_draw:
            return None
        if (fps := self.stream.fps) is not None:
            return fps
        if self.stream.render_size is not None:  # Its encoder is about to open.
            return self._settings.stream.effective_fps
        return 1 if self.stream.snapshot_asked_s() < SNAPSHOT_WANTED_S else None

    def _rest(self) -> float:
        if self._is_shown:
            self._is_shown = False
            self._source.close()
            self._episode.lose()
        return IDLE_POLL_S

    def _show(self, fps: int) -> float:
        """Show what is new; return the time until there may be more, seconds."""
        self._is_shown = True
        is_live = self.stream.fps is not None
        self._episode.keeps_thoughts = is_live
        try:
            self._source.ask(fps)
            records, has_gap = self._source.read()
        except ReplayError as error:
            self._draw_inline(str(error))
            return IDLE_POLL_S
        except WireError as error:
            self._give_up(f"{error}; it is shown no more")
            return IDLE_POLL_S
        except OSError as error:  # The trainer has ended, or makes a larger ring.
            log.info("its ring is not there: %s", error)
            return IDLE_POLL_S
        if has_gap:
            self._episode.lose()
        for record in records:
            self._add(record, fps if is_live else None)
        if not is_live:
            return STANDBY_POLL_S
        self._screen.keep_up(fps)
        return LIVE_POLL_S

    def _add(self, record: Record, fps: int | None) -> None:
        match record:
            case FrameRecord():
                if self._source.drawn is Drawn.INLINE:
                    self._drawing.count(round(record.drawing_s / MICROSECOND))
                if fps is None:
                    self._screen.take_snapshot(record)
                else:
                    self._screen.show(record, self._episode.take_thoughts(), fps)
            case Note(text) if self._source is self._inline:
                self._give_up(text)
            case _:
                self._episode.add(record)

    def _draw_inline(self, reason: str) -> None:
        """Have the trainer draw, if it can."""
        self._source.close()
        if self._source is self._inline:
            self._give_up(reason)
            return
        self._source = self._inline
        self._episode.lose()
        can_not = why_not_inline(self._announcement)
        if can_not:
            self._give_up(f"{reason}. {_capital(can_not)}")
        else:
            self._note = f"it is drawn in its trainer: {reason}"
            log.warning("%s", self._note)

    def _give_up(self, reason: str) -> None:
        """Show nothing any more, and say why."""
        log.warning("%s", reason)
        self._can_draw, self._note = False, reason
        self.stream.disable(reason)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def run(
    settings: Settings, settings_file: Path, identity: Identity, ring: Path, owner: int
) -> None:
    """Show a guest until SIGTERM, or until its trainer is gone; see ``Guest``.

    Raises:
        MetaBonkError: it can't be shown.
    """
    stop = StopSignal()
    stop.watch_threads()
    # The trainer comes first.
    lower_priority(SERVING_NICE)
    try:
        guest = Guest(settings, settings_file, identity, ring, owner)
    except OSError as error:
        log.info("%s is gone: %s", ring, error)
        return
    with contextlib.closing(guest):
        guest.start()
        log.info("shows %s (pid %d) on port %d", ring, os.getpid(), identity.port)
        guest.run(stop.wait)
        stop.raise_failure()
        log.info("stops")
