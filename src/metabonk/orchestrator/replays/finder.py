"""The episodes and policies that replays are made of."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from metabonk.orchestrator.replays.errors import NoCheckpoint, NoEpisodeLog
from metabonk.orchestrator.replays.service import Replay
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.episode_logs import why_not_kept
from metabonk.runs.layout import checkpoint_files

ReplayKind = Literal["replay", "rematch"]

SAME_POLICY_S = 600.0
"""A rematch that was asked for within this time stays with its policy: its status, its thoughts
and the parts of its video are one, although a checkpoint is written every minute."""

MAX_REMATCHES = 256


class ReplayFinder:
    """Finds what a replay needs. Thread-safe; may wait for the disk.

    Args:
        catalog: of the runs.
        clock: monotonic seconds.
    """

    def __init__(self, catalog: RunCatalog, clock: Callable[[], float] = time.monotonic) -> None:
        self._catalog = catalog
        self._clock = clock
        self._lock = threading.Lock()
        self._policies: OrderedDict[tuple[str, int], tuple[float, str]] = OrderedDict()

    def find(self, kind: ReplayKind, run: str, episode: int, size: tuple[int, int]) -> Replay:
        """Return the replay of an episode, or the rematch: the newest policy on its seed.

        Args:
            kind: of the two.
            run: name of the run.
            episode: id of the episode.
            size: of the video, pixels.

        Raises:
            NoSuchRun: there is none of this name.
            NoSuchEpisode: the run has none of this id.
            NoEpisodeLog: its log is not kept.
            NoCheckpoint: there is no policy for a rematch.
        """
        folder = self._catalog.folder(run)
        log = self._catalog.episode_log(run, episode)
        if log is None:
            # Tells an episode whose log is not kept from none.
            self._catalog.episode(run, episode)
            raise NoEpisodeLog(why_not_kept(episode, run))
        policy = self._policy(folder, run, episode) if kind == "rematch" else ""
        return Replay(folder, log, size, policy)

    def _policy(self, folder: Path, run: str, episode: int) -> str:
        now, asked = self._clock(), (run, episode)
        with self._lock:
            used_at, policy = self._policies.get(asked, (0.0, ""))
            if not policy or now - used_at >= SAME_POLICY_S:
                policy = _newest_policy(folder)
            self._policies[asked] = now, policy
            self._policies.move_to_end(asked)
            if len(self._policies) > MAX_REMATCHES:
                self._policies.popitem(last=False)
        return policy


def _newest_policy(folder: Path) -> str:
    """Return the identity of a run's newest checkpoint."""
    for file in checkpoint_files(folder):
        try:
            return f"{file.name} {file.stat().st_mtime_ns}"
        except FileNotFoundError:  # Replaced by a newer one.
            continue
    raise NoCheckpoint(
        f"run {folder.name} has no checkpoint yet that could play; the first is written about a "
        "minute after its start"
    )
