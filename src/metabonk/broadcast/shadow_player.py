"""Playing episodes back at the game's speed, into a ring: the work of a shadow's process."""

import contextlib
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metabonk.broadcast.announcement import Announcement
from metabonk.broadcast.pixels import fit_bytes
from metabonk.broadcast.places import SMALL_CAPACITY
from metabonk.broadcast.playback import Playback, Shown
from metabonk.broadcast.records import (
    FRAME_SIZE,
    EpisodeStart,
    FrameRecord,
    Pending,
    Progress,
    Record,
    Step,
    Thought,
    decode_payload,
    encode_batch,
    encode_frame,
    encode_progress,
    encode_step,
    encode_thought,
)
from metabonk.broadcast.ring_layout import MAX_CAPACITY, Demand, capacity_for
from metabonk.broadcast.ring_reader import RingReader, set_demand
from metabonk.broadcast.ring_writer import RingWriter
from metabonk.broadcast.shadow import Shadow
from metabonk.broadcast.shadow_link import ShadowLink, ShadowReport, Wanted
from metabonk.broadcast.trainer_speed import TrainerSpeed
from metabonk.broadcast.values import encode
from metabonk.errors import ReplayError, WireError
from metabonk.system.tic_clock import TicClock

DEMAND_S = 3.0
"""Time that the trainer records without being asked again."""

RENEW_S = 1.0
REPORT_S = 1.0

MIN_READ_S, MAX_READ_S = 0.01, 0.05
"""Pause between two readings of the trainer's ring: the fuller it is, the shorter."""

READ_UNSEEN_S = 0.5
"""The same while only a frame a second is shown, unless the ring fills up."""

FILLED_FAST, FILLED_SLOWLY = 1 / 8, 1 / 64
"""Shares of the ring that the trainer filled in a pause that was too long, or could be longer."""

NO_EPISODE_S = 5.0
"""Time without an episode's start after which the trainer is asked to draw what it plays."""

MIN_FRAMES_KEPT, MAX_FRAMES_KEPT = 4, 16
RING_BYTES = 32 << 20
"""Frames in the ring while all are shown, and what it may take for more than the fewest: whoever
shows them may be late by as many."""

PROGRESS_S = 0.5
"""Time between two records for those who missed some."""

FIRST_MESSAGE_S = 10.0

NO_EPISODE = (
    "its episode began before anybody watched, so it can't be repeated; the next one can be"
)

NO_ROOM = "it is drawn smaller than it is, since there is no room for its frames in shared memory"


def play(link: ShadowLink) -> None:
    """Play for the other end of a connection until that has gone.

    Raises:
        ReplayError, WireError, ConnectionError, OSError: see ``ShadowPlayer.run``.
    """
    wanted = link.receive(FIRST_MESSAGE_S)
    if wanted is None:
        raise TimeoutError("nothing was asked of this shadow")
    with contextlib.closing(ShadowPlayer(RingReader(Path(wanted.ring)), link)) as player:
        player.run(wanted)


class ShadowPlayer:
    """Plays the episodes of a trainer back, as somebody wants to see them.

    It reads the trainer's ring, and asks the trainer for records. Into a ring of its own it writes
    what is shown, as a trainer does that draws itself: the starts of episodes, steps, thoughts,
    frames.

    Args:
        reader: of the trainer's ring, which the player takes over.
        link: to the one who shows it.

    Raises:
        ReplayError: the environment can't be made here; says why.
        WireError: the ring's announcement is damaged.
    """

    def __init__(self, reader: RingReader, link: ShadowLink) -> None:
        announcement = Announcement.from_json(reader.announcement)
        if announcement.recipe is None or reader.file is None:
            raise ReplayError(f"it can't be repeated: {announcement.no_recipe}")
        self._file, self._announcement = reader.file, announcement
        self._reader, self._link = reader, link
        self._speed = TrainerSpeed()
        os.chdir(announcement.recipe.folder)
        self._shadow = Shadow(announcement.recipe)
        self._playback = Playback(self._shadow, announcement.speed)
        self._ring = RingWriter.unnamed(SMALL_CAPACITY)
        self._no_room_for = MAX_CAPACITY + 1
        self._is_reduced = False
        self._clock: TicClock | None = None
        self._fps = 0
        self._demand, self._demanded_at = Demand.NOTHING, 0.0
        self._asked_at: float | None = None
        self._read_pause_s = MIN_READ_S
        self._read_at = self._show_at = self._report_at = self._progress_at = 0.0
        self._shown_at = time.monotonic()
        self._has_shown = False
        self._inline_at = float("-inf")
        self._missed = 0

    def run(self, wanted: Wanted) -> None:
        """Play until the one who shows it has gone.

        Raises:
            ReplayError: the environment does not come out as in the trainer, or failed.
            WireError: a ring or message is damaged.
            ConnectionError: nobody shows it any more.
            OSError: the trainer's ring is gone.
        """
        self._reader.skip()  # What somebody else may have watched, a while ago.
        self._send_ring()
        self._want(wanted)
        while True:
            now = time.monotonic()
            self._ask(now)
            if now >= self._read_at:
                self._read(now)
            if now >= self._show_at:
                self._show_at = now + self._show(now)
            if now >= self._report_at:
                self._report_at = now + REPORT_S
                self._link.send(self._report())
            due = min(self._read_at, self._show_at, self._report_at)
            if (message := self._link.receive(due - time.monotonic())) is not None:
                self._want(message)

    def close(self) -> None:
        """End the copy, and want nothing of the trainer any more."""
        with contextlib.suppress(OSError, WireError):
            set_demand(self._file, Demand.NOTHING, 0)
        self._shadow.close()
        self._reader.close()

    def _want(self, wanted: Wanted) -> None:
        if wanted.fps != self._fps:
            self._fps = wanted.fps
            self._clock = TicClock(self._announcement.fps, wanted.fps)
            self._show_at = 0.0

    def _ask(self, now: float) -> None:
        """Renew what is wanted of the trainer."""
        demand = Demand.NOTHING
        if self._playback.wants_records:
            demand = Demand.FRAMES if self._wants_frames(now) else Demand.RECORDS
        is_stale = demand is not Demand.NOTHING and now - self._demanded_at > RENEW_S
        if demand is not self._demand:
            # What was recorded before may have no end.
            self._read(now)
            self._read_pause_s = MIN_READ_S if self._fps > 1 else READ_UNSEEN_S
            self._read_at = now + self._read_pause_s
            if demand is Demand.NOTHING:
                self._asked_at = None
            elif self._asked_at is None:
                self._asked_at = now
        if demand is not self._demand or is_stale:
            self._demand, self._demanded_at = demand, now
            set_demand(self._file, demand, DEMAND_S)

    def _wants_frames(self, now: float) -> bool:
        """Tell whether the trainer is to draw, since no episode begins that could be repeated."""
        is_idle = now - self._shown_at > NO_EPISODE_S
        return is_idle and self._announcement.draws_inline and not self._playback.follows

    def _read(self, now: float) -> None:
        size = 0
        for entry in self._reader.read():
            size += len(entry.payload) + len(entry.pixels)
            records = decode_payload(entry.payload, entry.pixels)
            has_gap, self._missed = self._reader.missed > self._missed, self._reader.missed
            self._speed.add(entry.written_at, records, has_gap=has_gap)
            self._playback.add(records, has_gap=has_gap)
            if self._wants_frames(now):
                self._pass_on(records)
        if self._demand is Demand.NOTHING:
            self._playback.stop_recording()
        if size > FILLED_FAST * self._reader.capacity:
            self._read_pause_s = max(MIN_READ_S, self._read_pause_s / 4)
        elif size < FILLED_SLOWLY * self._reader.capacity:
            longest_s = MAX_READ_S if self._fps > 1 else READ_UNSEEN_S
            self._read_pause_s = min(longest_s, self._read_pause_s * 2)
        self._read_at = now + self._read_pause_s
        if not size and (successor := self._reader.successor()) is not None:
            self._reader.close()
            self._reader, self._missed = successor, 0

    def _pass_on(self, records: list[Record]) -> None:
        """Show what the trainer plays and draws itself."""
        for record in records:
            match record:
                case FrameRecord():
                    self._inline_at = time.monotonic()
                    self._append_frame(record.pixels, record.captured_at, record.drawing_s)
                case Step() | Thought():
                    self._ring.append(encode_batch([_encoded(record)]))

    def _show(self, now: float) -> float:
        """Play until a tic is drawn; return the time until the next one, seconds."""
        assert self._clock is not None
        tics, records, wait_s = 0, list[Pending](), 0.0
        while True:
            tics += 1
            is_drawn = self._clock.count_frames() > 0
            shown = self._playback.tic(draw=False) if records or tics == 1 else None
            if shown is not None:
                records += self._records(shown, now)
            wait_s = self._clock.wait_s(now)
            if is_drawn:
                break
        if records:
            self._ring.append(encode_batch(records))
            self._draw()
        return wait_s

    def _records(self, shown: Shown, now: float) -> list[Pending]:
        records: list[Pending] = []
        if not shown.taken:
            records.append(EpisodeStart(shown.episode, None, None))
        for thoughts, step in shown.taken:
            records += map(encode_thought, thoughts)
            records.append(_encoded(step))
        if now >= self._progress_at:
            self._progress_at = now + PROGRESS_S
            progress = Progress(shown.episode, shown.steps, shown.total_reward)
            records.append(encode_progress(progress))
        return records

    def _draw(self) -> None:
        began = time.monotonic()
        frame = self._playback.draw()
        self._shown_at = drawn = time.monotonic()
        self._has_shown = True
        self._append_frame(frame, drawn, drawn - began)

    def _append_frame(self, frame: NDArray[np.uint8], drawn_at: float, drawing_s: float) -> None:
        """Add to the own ring, or to a larger one; without room for that, a smaller frame."""
        size = frame.nbytes
        fitting = min(MAX_FRAMES_KEPT, RING_BYTES // size)
        count = max(MIN_FRAMES_KEPT, fitting) if self._fps > 1 else 2
        capacity = capacity_for(FRAME_SIZE, size, count)
        if capacity > self._ring.capacity and capacity < self._no_room_for:
            try:
                ring = RingWriter.unnamed(capacity)
            except OSError:
                self._no_room_for = capacity
            else:
                self._ring.close()
                self._ring = ring
                self._send_ring()
        frame = fit_bytes(frame, self._ring.max_record - FRAME_SIZE)
        self._is_reduced = frame.nbytes < size
        payload = encode_frame(frame.shape, drawn_at, drawing_s)
        self._ring.append(payload, frame.data.cast("B"))

    def _send_ring(self) -> None:
        self._link.send(self._report(), self._ring.descriptor)

    def _report(self) -> ShadowReport:
        now = time.monotonic()
        is_inline = now - self._inline_at < 2 * REPORT_S
        waits = not self._has_shown and now - self._shown_at > NO_EPISODE_S
        return ShadowReport(
            os.getpid(),
            self._speed.steps_per_s(self._asked_at, now),
            is_inline,
            NO_EPISODE if is_inline or waits else NO_ROOM if self._is_reduced else "",
        )


def _encoded(record: Step | Thought) -> bytes:
    if isinstance(record, Thought):
        return encode_thought(record)
    return encode_step(encode(record.action), record.reward, record.terminated, record.truncated)
