"""Rendered replays on disk: found by content, bounded, and shared by the fleets of one folder.

::

    runs/.replays/
        KEY.mp4               a whole video, see ``replay_key``
        KEY.track             its thoughts: ``ReplayTrack`` as JSON
        KEY.saliency          its saliency maps: ``ReplaySaliency`` as JSON lines
        rendering-*/          of one orchestrator, locked while that lives
            KEY/              see ``runs.render_files``

The time of last access says when a video was last asked for: it is set explicitly, so it does not
depend on how the disk is mounted.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from metabonk.doctor.host import MIN_FREE_DISK, free_disk, megabytes
from metabonk.orchestrator.replays.errors import ReplayFailed
from metabonk.runs.render_files import SALIENCY_SUFFIX, TRACK_SUFFIX, RenderFiles

FOLDER = ".replays"
"""In the folder of runs: no run's name begins with a dot."""

MAX_CACHE_BYTES = 1 << 30
MAX_DISK_SHARE = 0.1
"""Part of what the videos take and the disk has free: a small disk keeps its room for runs."""

KEEP_S = 600.0
"""A video that was asked for within this time stays: its player asks for further parts."""

RENDERER_VERSION = 2
"""Raise it when an episode is drawn differently: what was rendered before is not shown again."""

WORK_PREFIX = "rendering-"
VIDEO_SUFFIX = ".mp4"
WORK_VIDEO = f"video{VIDEO_SUFFIX}"
SUFFIXES = (TRACK_SUFFIX, SALIENCY_SUFFIX, VIDEO_SUFFIX)
"""Files of a whole video, in the order in which they move into the cache: the video is last."""


def replay_key(log: bytes, size: tuple[int, int], policy: str = "") -> str:
    """Return the name of a replay's files, from everything that the video depends on.

    Args:
        log: of the episode.
        size: of the video, pixels.
        policy: identity of the policy that plays instead, in a rematch.
    """
    width, height = size
    content = hashlib.blake2b(digest_size=16)
    content.update(f"{RENDERER_VERSION} {width}x{height} {policy}\0".encode())
    content.update(log)
    return content.hexdigest()


@dataclass(frozen=True, slots=True)
class CachedVideo:
    """A whole video.

    Attributes:
        key: of the replay.
        size: bytes, with its track and saliency maps.
        used_at: when it was last asked for, Unix time in seconds.
    """

    key: str
    size: int
    used_at: float


def evictions(videos: Iterable[CachedVideo], max_bytes: int, now: float) -> list[str]:
    """Return the videos to delete so that the others fit: those asked for longest ago.

    Those asked for within ``KEEP_S`` stay, even if they don't fit.

    Args:
        videos: in the cache.
        max_bytes: that they may take.
        now: Unix time, seconds.
    """
    oldest_first = sorted(videos, key=lambda video: video.used_at)
    excess = sum(video.size for video in oldest_first) - max_bytes
    chosen = []
    for video in oldest_first:
        if excess <= 0:
            break
        if now - video.used_at >= KEEP_S:
            chosen.append(video.key)
            excess -= video.size
    return chosen


class ReplayCache:
    """The files of replays. Thread-safe; every method may wait for the disk.

    Args:
        folder: of the cache; created when the first replay is rendered.
        max_bytes: of whole videos; less on a small disk.
        min_free_bytes: of the disk that rendering leaves alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = MAX_CACHE_BYTES,
        min_free_bytes: int = MIN_FREE_DISK,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._guard = threading.Lock()
        self._work: Path | None = None
        self._lock: int | None = None

    def files(self, key: str) -> RenderFiles:
        """Return the files of a rendering of this orchestrator."""
        return RenderFiles((self._work or self._folder / WORK_PREFIX) / key / WORK_VIDEO)

    def prepare(self, key: str, log: bytes) -> None:
        """Write what a renderer needs, and make room for what it will write.

        Raises:
            OSError: it can't be written.
            ReplayFailed: there is too little space on the disk.
        """
        with self._guard:
            if self._work is None or not self._work.is_dir():
                self._make_work_folder()
        self.evict()
        self.check_disk()
        files = self.files(key)
        files.video.parent.mkdir(exist_ok=True)
        files.log.write_bytes(log)

    def check_disk(self) -> None:
        """Require the free space that the rest of the fleet needs.

        Raises:
            ReplayFailed: there is less.
        """
        free = free_disk(self._folder)
        if free < self._min_free_bytes:
            raise ReplayFailed(
                f"only {megabytes(free)} are free on the disk of {self._folder}, which checkpoints "
                f"need; replays are rendered while {megabytes(self._min_free_bytes)} are free"
            )

    def written(self, key: str) -> int:
        """Return the bytes that a renderer has written so far."""
        files, total = self.files(key), 0
        for file in (files.track, files.saliency, files.partial, files.video):
            with contextlib.suppress(FileNotFoundError):
                total += file.stat().st_size
        return total

    def whole(self, key: str) -> Path | None:
        """Return a whole video and note that it was asked for; None if there is none."""
        video = self._folder / f"{key}{VIDEO_SUFFIX}"
        try:
            status = video.stat()
            with contextlib.suppress(PermissionError):
                os.utime(video, ns=(time.time_ns(), status.st_mtime_ns))
        except FileNotFoundError:
            return None
        return video

    def open_video(self, key: str) -> FileIO | None:
        """Open a video, whole or as far as it is written; None before its first byte."""
        files = self.files(key)
        return _open_first(files.partial, files.video, self._folder / f"{key}{VIDEO_SUFFIX}")

    def open_saliency(self, key: str) -> FileIO | None:
        """Open the saliency maps of a replay as far as they are made; None before that begins."""
        return _open_first(self.files(key).saliency, self._folder / f"{key}{SALIENCY_SUFFIX}")

    def read_track(self, key: str) -> bytes | None:
        """Return the thoughts of a replay, as JSON; None before they are known."""
        for file in (self.files(key).track, self._folder / f"{key}{TRACK_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                return file.read_bytes()
        return None

    def publish(self, key: str) -> None:
        """Move a whole video into the cache, and keep the cache within its bounds.

        Raises:
            OSError: it can't be moved, or a file is missing.
        """
        files = self.files(key)
        for file, suffix in zip((files.track, files.saliency, files.video), SUFFIXES, strict=True):
            file.replace(self._folder / f"{key}{suffix}")
        self.whole(key)
        self.evict()

    def discard(self, key: str) -> None:
        """Delete the files of a rendering."""
        shutil.rmtree(self.files(key).video.parent, ignore_errors=True)

    def evict(self) -> None:
        """Delete the videos that were asked for longest ago, if they take too much."""
        videos = self._videos()
        total = sum(video.size for video in videos)
        room = int(MAX_DISK_SHARE * (free_disk(self._folder) + total))
        for key in evictions(videos, min(self._max_bytes, room), time.time()):
            for suffix in SUFFIXES:
                # One that can't be deleted only costs space.
                with contextlib.suppress(OSError):
                    (self._folder / f"{key}{suffix}").unlink()

    def close(self) -> None:
        """Delete what was being rendered, and let go of the folder."""
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        self._work = self._lock = None

    def _make_work_folder(self) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._remove_leftovers()
        self._work = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=self._folder))
        with contextlib.suppress(OSError):  # A filesystem without locks.
            self._lock = _lock_folder(self._work)

    def _remove_leftovers(self) -> None:
        """Delete the work folders of orchestrators that have ended."""
        for folder in self._folder.glob(f"{WORK_PREFIX}*"):
            # One that is locked, or can't be, may be in use.
            with contextlib.suppress(OSError):
                descriptor = _lock_folder(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)

    def _videos(self) -> list[CachedVideo]:
        found = []
        for video in self._folder.glob(f"*{VIDEO_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                status, size = video.stat(), 0
                for suffix in SUFFIXES:
                    with contextlib.suppress(FileNotFoundError):
                        size += video.with_suffix(suffix).stat().st_size
                found.append(CachedVideo(video.stem, size, status.st_atime))
        return found


def _open_first(*places: Path) -> FileIO | None:
    """Open a file in the first place that has it, in the order in which it moves."""
    for file in places:
        with contextlib.suppress(FileNotFoundError):
            return file.open("rb", buffering=0)
    return None


def _lock_folder(folder: Path) -> int:
    """Lock a folder; return the descriptor that holds the lock.

    Raises:
        OSError: another process holds it, or its filesystem has no locks.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
