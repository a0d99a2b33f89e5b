"""The thread that keeps the video of a new best episode, as it was shown live.

The video is cut from what the hub keeps, on a thread at the lowest priority: play never waits for
the disk. Of episodes that end while one is written, only the best is considered next.
"""

import logging
import math
import threading
import time
from pathlib import Path
from typing import NamedTuple

from metabonk.messages.replays import Highlight
from metabonk.messages.workers import EpisodeResult
from metabonk.runs.highlight import keep_highlight, read_highlight
from metabonk.streaming.clip import Clip
from metabonk.streaming.hub import Hub
from metabonk.streaming.recent import Gop
from metabonk.system.process import lower_priority

log = logging.getLogger(__name__)

SETTLE_S = 2.0
"""For the last frames of an episode to pass the encoder."""

POLL_S = 0.05

LEAD_S = 2.0
"""Lead-in shown before an episode: some are won within a few frames."""

GAP_S = 1.0
"""Longest part that a whole episode may lack: its first picture waits for an encoder, and so does
one after a change of quality."""


class _Offer(NamedTuple):
    episode: EpisodeResult
    began_at: float
    ended_at: float


class Highlights:
    """Keeps the best live episode of a run.

    Args:
        run_dir: folder of the run.
        hub: of the worker's stream.
    """

    def __init__(self, run_dir: Path, hub: Hub) -> None:
        self._run_dir = run_dir
        self._hub = hub
        self._best = -math.inf
        self._offer: _Offer | None = None
        self._failed = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="highlights", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, waiting a second for what it writes. Safe to call before ``start``."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def offer(self, episode: EpisodeResult, began_at: float, ended_at: float) -> None:
        """Consider an episode that has just ended live; never waits.

        Args:
            episode: of the shown game.
            began_at: its reset, seconds, monotonic.
            ended_at: its last frame, seconds, monotonic.
        """
        if episode.total_reward <= self._best:
            return
        with self._changed:
            waiting = self._offer
            if waiting is None or episode.total_reward > waiting.episode.total_reward:
                self._offer = _Offer(episode, began_at, ended_at)
                self._changed.notify()

    def _run(self) -> None:
        lower_priority()
        if (kept := read_highlight(self._run_dir)) is not None:
            self._best = kept.total_reward
        while (offer := self._next()) is not None:
            clip = self._record(offer)
            if clip is not None:
                self._keep(offer, clip)

    def _next(self) -> _Offer | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._offer)
            offer, self._offer = self._offer, None
            return None if self._closed else offer

    def _record(self, offer: _Offer) -> Clip | None:
        """Return the video of an episode; None if none of it, or not its end, was streamed."""
        deadline = time.monotonic() + SETTLE_S
        while not self._closed and time.monotonic() < deadline:
            # A later frame shows that the encoder has no earlier one left.
            if _newest(self._hub) > offer.ended_at:
                break
            time.sleep(POLL_S)
        gops = _since_pause(self._hub.recent_since(offer.began_at - LEAD_S), offer.began_at)
        if not gops or gops[0].frames[0].captured_at > offer.ended_at:
            return None
        clip = Clip(gops, offer.ended_at)
        return clip if offer.ended_at - clip.ends_at < GAP_S else None

    def _keep(self, offer: _Offer, clip: Clip) -> None:
        episode = offer.episode
        highlight = Highlight(
            worker_index=episode.worker_index,
            episode=episode.episode,
            total_reward=episode.total_reward,
            ended_at=episode.ended_at,
            duration=clip.duration,
            bytes=clip.size,
            whole=max(clip.begins_at - offer.began_at, clip.longest_pause) < GAP_S,
        )
        try:
            self._best = keep_highlight(self._run_dir, highlight, clip.chunks()).total_reward
        except OSError as error:
            if not self._failed:
                log.warning("the video of the best episode can't be kept: %s", error)
            self._failed = True
        else:
            self._failed = False


def _since_pause(gops: list[Gop], began_at: float) -> list[Gop]:
    """Leave out what precedes a pause before the episode: it was shown long ago."""
    for i in reversed(range(1, len(gops))):
        resumed_at = gops[i].frames[0].captured_at
        pause = resumed_at - gops[i - 1].frames[-1].captured_at
        if pause > GAP_S and resumed_at < began_at + GAP_S:
            return gops[i:]
    return gops


def _newest(hub: Hub) -> float:
    """Return when the newest frame was captured, seconds, monotonic."""
    gops = hub.recent(0)
    return gops[-1].frames[-1].captured_at if gops else -math.inf
