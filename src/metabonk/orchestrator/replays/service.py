"""Replays of episodes, rendered on request.

A viewer joins a replay and leaves it; between the two it is queued, rendered by a process of
lowest priority, and kept. Three kinds of threads meet here, and none waits for another: those of
requests, which may wait for the disk; one that follows the renderings, which may as well; and the
supervising one, which only starts, kills and reaps processes.
"""

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from metabonk.messages.base import Problem
from metabonk.messages.replays import RenderOutcome, ReplayState, ReplayStatus
from metabonk.orchestrator.processes.children import RENDERERS_LOG, metabonk
from metabonk.orchestrator.processes.exit_report import ExitReport
from metabonk.orchestrator.processes.faults import Faults
from metabonk.orchestrator.replays.cache import FOLDER, ReplayCache, replay_key
from metabonk.orchestrator.replays.errors import ReplayDiffers, ReplayFailed, TooManyReplays
from metabonk.orchestrator.replays.queue import QueuedReplay, ReplayQueue
from metabonk.orchestrator.replays.renderers import NAME, Renderers
from metabonk.runs.render_files import RenderFiles
from metabonk.settings import Settings
from metabonk.system.fork_server import ForkServer
from metabonk.system.periodic_thread import PeriodicThread
from metabonk.system.process_ids import PARENT

log = logging.getLogger(__name__)

INTERVAL_S = 0.05

FAILURE_SHOWN_S = 10.0
"""A replay that failed is not rendered again meanwhile, however often a page asks."""

DIFFERENCE_SHOWN_S = 600.0
"""An episode that came out differently does so again, unless another version is installed."""

MAX_OUTCOMES = 256


@dataclass(frozen=True, slots=True)
class Replay:
    """A video of an episode.

    Attributes:
        run_dir: folder of the run.
        log: of the episode, as it is stored.
        size: of the video, pixels.
        policy: identity of the run's newest policy, which plays instead; "" for the episode itself.
    """

    run_dir: Path
    log: bytes
    size: tuple[int, int]
    policy: str = ""

    @property
    def key(self) -> str:
        """Name that it has in the cache."""
        return replay_key(self.log, self.size, self.policy)


def render_command(replay: Replay, files: RenderFiles) -> tuple[str, ...]:
    """Return the command line that renders a replay."""
    width, height = replay.size
    return metabonk(
        "render",
        *("--run", str(replay.run_dir.absolute())),
        *("--log", str(files.log.absolute())),
        *("--size", f"{width}x{height}"),
        *("--video", str(files.video.absolute())),
        *(PARENT, str(os.getpid())),
        *(("--rematch",) if replay.policy else ()),
    )


class Replays:
    """Renders replays for viewers, a few at a time.

    Args:
        cache: has the files.
        renderers: has the processes.
        at_once: renderers that may run at a time.
        command: returns the command line of a renderer.
        clock: monotonic seconds.
    """

    name = "replays"

    def __init__(
        self,
        cache: ReplayCache,
        renderers: Renderers,
        at_once: int,
        *,
        command: Callable[[Replay, RenderFiles], Sequence[str]] = render_command,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cache = cache
        self._renderers = renderers
        self._command = command
        self._clock = clock
        self._lock = threading.Lock()
        self._queue = ReplayQueue(at_once)
        self._replays: dict[str, Replay] = {}
        self._ending: dict[str, str | None] = {}
        self._ended: dict[str, ExitReport] = {}
        self._outcomes: OrderedDict[str, tuple[float, ReplayStatus]] = OrderedDict()
        self._faults = Faults()
        self._thread = PeriodicThread(self._follow, INTERVAL_S, name=self.name)

    def start(self) -> None:
        """Start the thread that follows the renderings."""
        self._thread.start()

    def revive(self) -> bool:
        """Start the thread again if an error has ended it; return whether it was."""
        return self._thread.revive()

    def status(self, replay: Replay) -> ReplayStatus:
        """Return the state of a replay's video."""
        key = replay.key
        return self.progress(key) or ReplayStatus(
            state=ReplayState.WHOLE if self.cache.whole(key) else ReplayState.NONE
        )

    def progress(self, key: str) -> ReplayStatus | None:
        """Return the state of a video that is neither whole nor unasked for; never waits."""
        now = self._clock()
        with self._lock:
            if (position := self._queue.position(key)) is not None:
                return ReplayStatus(state=ReplayState.QUEUED, position=position)
            if key in self._queue:
                return ReplayStatus(state=ReplayState.RENDERING)
            return self._outcome(key, now)

    def join(self, replay: Replay) -> QueuedReplay:
        """Add a viewer of a video that is not whole, and have it rendered; never waits.

        Returns:
            What the viewer must ``leave``.

        Raises:
            ReplayFailed: it failed a short while ago.
            ReplayDiffers: it came out differently a while ago.
            TooManyReplays: too many are waiting.
        """
        key = replay.key
        with self._lock:
            refuse(self._outcome(key, self._clock()))
            if key in self._ending:
                raise TooManyReplays("the renderer of this replay is being stopped; ask again")
            viewer = self._queue.join(key, is_rematch=bool(replay.policy))
            self._replays[key] = replay
        return viewer

    def leave(self, viewer: QueuedReplay) -> None:
        """Remove a viewer; the rendering ends a few seconds after the last one has left."""
        with self._lock:
            self._queue.leave(viewer, self._clock())

    def tick(self) -> None:
        """Start, kill and reap renderers, in the thread that supervises all processes."""
        with self._faults.survive("the rendering of replays"):
            ended = self._renderers.reap()
            with self._lock:
                self._ended |= ended
                ending = list(self._ending)
                is_due = self._queue.next() is not None
            for key in ending:
                self._renderers.kill(key)
            if is_due and self._renderers.can_start():
                self._start_next()

    def problems(self) -> list[Problem]:
        """Report that renderers can't be started or ended."""
        return self._faults.problems()

    def close(self) -> None:
        """Kill the renderers, in the thread that supervises all processes, and end the thread."""
        self._renderers.close()
        self._thread.close()
        self.cache.close()

    def _start_next(self) -> None:
        with self._lock:
            # Its viewer may have left meanwhile.
            if (key := self._queue.next()) is None:
                return
            self._queue.start(key, self._clock())
            command = self._command(self._replays[key], self.cache.files(key))
        try:
            self._renderers.start(key, command)
        except OSError as error:
            with self._lock:
                self._ended[key] = ExitReport(NAME, 1, f"it can't be started: {error}")

    def _follow(self) -> None:
        """Prepare and follow the renderings, end those that must, and keep what is whole."""
        with self._lock:
            unready = [(key, self._replays[key].log) for key in self._queue.unready()]
            rendering, ended = self._queue.rendering(), dict(self._ended)
        for key, episode_log in unready:
            self._prepare(key, episode_log)
        written = {key: self.cache.written(key) for key in rendering}
        shortage = self._shortage() if rendering else None
        now, dropped = self._clock(), []
        with self._lock:
            for key, size in written.items():
                self._queue.record(key, size, now)
                if shortage is not None:
                    self._ending.setdefault(key, shortage)
            for key, reason in list(self._queue.expired(now)):
                if self._queue.position(key) is None:
                    self._ending.setdefault(key, reason)
                else:
                    self._forget(key)
                    dropped.append(key)
        for key in dropped:
            self.cache.discard(key)
        for key, report in ended.items():
            self._end(key, self._finish(key, report))

    def _prepare(self, key: str, episode_log: bytes) -> None:
        try:
            self.cache.prepare(key, episode_log)
        except (OSError, ReplayFailed) as error:
            log.error("replay %s: %s", key, error)
            self._end(key, ReplayStatus(state=ReplayState.FAILED, message=str(error)))
        else:
            with self._lock:
                self._queue.make_ready(key)

    def _shortage(self) -> str | None:
        try:
            self.cache.check_disk()
        except ReplayFailed as error:
            return str(error)
        return None

    def _finish(self, key: str, report: ExitReport) -> ReplayStatus | None:
        """Keep a whole video; return why there is none, or None if there is or nobody wants it."""
        outcome = _read_outcome(self.cache.files(key).outcome)
        if outcome is not None and outcome.outcome == "equal":
            try:
                self.cache.publish(key)
            except OSError as error:
                return ReplayStatus(state=ReplayState.FAILED, message=f"it can't be kept: {error}")
            return None
        if outcome is not None and outcome.outcome == "different":
            return ReplayStatus(state=ReplayState.DIFFERENT, message=outcome.message)
        with self._lock:
            is_ending, reason = key in self._ending, self._ending.get(key)
        if is_ending and reason is None:
            return None
        if reason is not None:
            message = f"{NAME} was stopped because {reason}"
        else:
            message = (outcome and outcome.message) or report.message
        log.error("replay %s: %s", key, message)
        return ReplayStatus(state=ReplayState.FAILED, message=message)

    def _end(self, key: str, status: ReplayStatus | None) -> None:
        """Take a replay out of the queue, whose video is whole or, with a ``status``, won't be."""
        self.cache.discard(key)
        with self._lock:
            self._forget(key)
            if status is not None:
                is_final = status.state is ReplayState.DIFFERENT
                shown_s = DIFFERENCE_SHOWN_S if is_final else FAILURE_SHOWN_S
                self._outcomes[key] = self._clock() + shown_s, status
                if len(self._outcomes) > MAX_OUTCOMES:
                    self._outcomes.popitem(last=False)

    def _forget(self, key: str) -> None:
        self._queue.end(key)
        for each in (self._replays, self._ending, self._ended):
            each.pop(key, None)

    def _outcome(self, key: str, now: float) -> ReplayStatus | None:
        until, status = self._outcomes.get(key, (now, None))
        return status if now < until else None


def make_replays(
    settings: Settings,
    fork_server: ForkServer | None = None,
    on_killed: Callable[[], None] = lambda: None,
) -> Replays:
    """Return the replays of a fleet.

    Args:
        settings: of the fleet.
        fork_server: forks the renderers.
        on_killed: called after a killed one has left a game that could not clean up after itself.
    """
    return Replays(
        ReplayCache(settings.paths.runs / FOLDER),
        Renderers(settings.paths.logs / RENDERERS_LOG, fork_server, on_killed),
        settings.replays.renderers,
    )


def refuse(status: ReplayStatus | None) -> None:
    """Raise the reason for which there is no video, if this status is one.

    Raises:
        ReplayFailed: it could not be rendered.
        ReplayDiffers: it is not true.
    """
    if status is not None and status.state is ReplayState.DIFFERENT:
        raise ReplayDiffers(status.message)
    if status is not None and status.state is ReplayState.FAILED:
        raise ReplayFailed(status.message)


def _read_outcome(file: Path) -> RenderOutcome | None:
    try:
        return RenderOutcome.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
