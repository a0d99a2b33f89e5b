"""Order in which replays are rendered, and which renderings are to end. Pure.

A replay is in the queue from its first viewer on, until it is whole or has failed, or nobody has
wanted it for ``IDLE_S``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from metabonk.orchestrator.replays.errors import TooManyReplays

MAX_QUEUED = 16
"""Replays that wait for a renderer."""

MAX_VIEWERS = 32
"""Requests that wait for a rendering or follow it."""

IDLE_S = 5.0
"""A page that is reloaded, or a player that asks again, is back within it."""

HUNG_AFTER_S = 60.0
"""A renderer that writes nothing for this long hangs. At the lowest priority on a busy machine,
it may get no CPU for seconds."""

MAX_REMATCH_S = 600.0
"""A rematch is played before it is drawn, and writes nothing meanwhile: ten thousand steps, which
take a minute on an idle core."""

MAX_RENDERING_S = 3600.0
"""The longest Atari episode, half an hour at the game's pace, takes less on one core."""

MAX_VIDEO_BYTES = 512 << 20


@dataclass(slots=True, eq=False)
class QueuedReplay:
    """A replay that waits or is being rendered, for those who wait for it."""

    key: str
    is_rematch: bool = False
    viewers: int = 0
    is_ready: bool = False
    idle_since: float = 0.0
    started_at: float | None = None
    written: int = 0
    wrote_at: float = 0.0

    @property
    def max_silence_s(self) -> float:
        """Seconds for which its renderer may write nothing."""
        return MAX_REMATCH_S if self.is_rematch and not self.written else HUNG_AFTER_S


class ReplayQueue:
    """Replays to be rendered, by key. Not thread-safe.

    Args:
        renderers: that may run at a time.
    """

    def __init__(self, renderers: int) -> None:
        self._renderers = renderers
        self._entries: dict[str, QueuedReplay] = {}
        self._viewers = 0

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def join(self, key: str, *, is_rematch: bool = False) -> QueuedReplay:
        """Add a viewer, and the replay if nobody has asked for it yet.

        Args:
            key: of the replay.
            is_rematch: it is played before it is drawn.

        Returns:
            What the viewer must ``leave``.

        Raises:
            TooManyReplays: too many are waiting; the message says so to the viewer.
        """
        if self._viewers >= MAX_VIEWERS:
            raise TooManyReplays(
                f"{MAX_VIEWERS} viewers of replays are waiting, which is the limit"
            )
        if key not in self._entries and len(self._queued()) >= MAX_QUEUED:
            raise TooManyReplays(f"{MAX_QUEUED} replays wait to be rendered, which is the limit")
        entry = self._entries.setdefault(key, QueuedReplay(key, is_rematch))
        entry.viewers += 1
        self._viewers += 1
        return entry

    def leave(self, entry: QueuedReplay, now: float) -> None:
        """Remove a viewer, whether or not the replay is still in the queue."""
        entry.viewers -= 1
        entry.idle_since = now
        self._viewers -= 1

    def position(self, key: str) -> int | None:
        """Return a replay's place among those that wait, 1 for the next; None unless it waits."""
        queued = self._queued()
        return queued.index(key) + 1 if key in queued else None

    def unready(self) -> list[str]:
        """Return the replays whose files the renderer would not find yet."""
        return [key for key, entry in self._entries.items() if not entry.is_ready]

    def make_ready(self, key: str) -> None:
        """Note that a renderer would find what it needs."""
        self._entries[key].is_ready = True

    def next(self) -> str | None:
        """Return the replay to be rendered now; None without one that is ready or a renderer."""
        if len(self.rendering()) >= self._renderers:
            return None
        return next((key for key in self._queued() if self._entries[key].is_ready), None)

    def start(self, key: str, now: float) -> None:
        """Note that a renderer was started."""
        entry = self._entries[key]
        entry.started_at = entry.wrote_at = now

    def rendering(self) -> list[str]:
        """Return the replays that are being rendered."""
        return [key for key, entry in self._entries.items() if entry.started_at is not None]

    def record(self, key: str, written: int, now: float) -> None:
        """Note how many bytes a renderer has written so far."""
        entry = self._entries.get(key)
        if entry is not None and written != entry.written:
            entry.written, entry.wrote_at = written, now

    def expired(self, now: float) -> Iterator[tuple[str, str | None]]:
        """Yield the replays whose rendering is to end, or need not begin.

        Yields:
            Key and reason, which continues "the renderer was stopped because …"; the reason is None
            where nobody watches any more.
        """
        for key, entry in self._entries.items():
            if entry.viewers == 0 and now - entry.idle_since >= IDLE_S:
                yield key, None
            elif entry.started_at is None:
                continue
            elif now - entry.wrote_at >= entry.max_silence_s:
                yield key, f"it has written nothing for {now - entry.wrote_at:.0f} s"
            elif now - entry.started_at >= MAX_RENDERING_S:
                yield key, f"it was not done within {MAX_RENDERING_S / 60:.0f} minutes"
            elif entry.written > MAX_VIDEO_BYTES:
                yield key, f"it has written more than {MAX_VIDEO_BYTES >> 20} MB"

    def end(self, key: str) -> None:
        """Take a replay out of the queue, if it is there: it is whole, or will not be."""
        self._entries.pop(key, None)

    def _queued(self) -> list[str]:
        return [key for key, entry in self._entries.items() if entry.started_at is None]
