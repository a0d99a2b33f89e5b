"""Number of games that a worker plays, and their shares of its cores.

docs/benchmarks.md, "Scheduling of games on few cores", has the measurements.
"""

from dataclasses import dataclass

from metabonk.messages.workers import Mode
from metabonk.settings import Settings

MAX_GAMES = 64
"""Most games of a worker, as in the settings."""

MAX_ENGINES = 16
"""Engines that a worker plays by default where a stream may be shown."""

MAX_ENGINES_UNSEEN = 24
"""The same where none is: beyond that, engines evict each other from the caches."""

ENGINES_PER_CORE = 8
"""Engines for each core that a worker has to itself where an inference server decides: four wait
for their decisions while the others move."""

MAX_ENGINES_SHARED = 32
"""Engines that a worker plays by default where an inference server decides."""

MAX_CONCURRENT_STEPS = 8
"""Threads that step unseen games, at most: they share the interpreter lock."""

TURN_S = 0.016
"""Time for a step of each game of this process, where one thread makes them all. A forward pass
takes half a millisecond, however cheap the games are."""

MIN_IN_PROCESS = 8
"""Games of this process that a worker plays by default, however slow: learning from few of them at
once is unsteady (eight are usual: Schulman et al. 2017)."""

MAX_IN_PROCESS = 32
"""Beyond that, forward passes become hardly cheaper, and rollouts older."""

REMOTE_STEP_S = 0.001
"""Games that take longer for a step move to processes of their own where there are cores for them;
calling one there takes about a twentieth of it."""

GAMES_OF_PROCESS = 2
"""One of them moves while the policy decides for the other."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Order in which the games of a worker are played.

    Attributes:
        concurrent_steps: unseen games that move at once in standby.
        pause_when_behind: unseen games pause while the learner is behind.
        run_others_while_live: unseen games are played while one is live.
        double_buffer: half of the unseen games move while the policy decides for the other half.
    """

    concurrent_steps: int = 1
    pause_when_behind: bool = True
    run_others_while_live: bool = True
    double_buffer: bool = True


def games_per_worker(
    settings: Settings, cores: int, step_s: float | None = None, *, shares_inference: bool = False
) -> int:
    """Return the number of games a worker plays at once.

    By default, one engine per core that the worker has to itself: more are faster, but cost a live
    stream frames. Where an inference server decides, ``ENGINES_PER_CORE``. Of games that run in the
    worker's process, as many as one thread steps in ``TURN_S``, since one forward pass decides for
    all; of those that have processes of their own, enough to keep these busy. Where nothing learns,
    one is shown.

    Args:
        settings: of the fleet.
        cores: that the process may use.
        step_s: duration of a step of games that run in this process, seconds; None: they are
            engines.
        shares_inference: an inference server decides.
    """
    if settings.mode is Mode.PLAY:
        return 1
    if settings.worker.games_per_worker:
        return settings.worker.games_per_worker
    if step_s is not None:
        wanted = round(TURN_S / step_s)
        if processes := game_processes(settings, cores, step_s):
            wanted = 1 + GAMES_OF_PROCESS * processes
        return max(MIN_IN_PROCESS, min(MAX_IN_PROCESS, wanted))
    if shares_inference:
        return max(1, min(MAX_ENGINES_SHARED, ENGINES_PER_CORE * cores // settings.workers))
    if not settings.stream.enabled:
        return MAX_ENGINES_UNSEEN
    return max(1, min(MAX_ENGINES, cores // settings.workers))


def game_processes(settings: Settings, cores: int, step_s: float) -> int:
    """Return the number of processes that a worker runs its unseen games in; 0: its own.

    Such games are slow ones of this process, whose Python would share its interpreter lock: they
    get a process for each core that the worker has to itself.

    Args:
        settings: of the fleet.
        cores: that the process may use.
        step_s: duration of a step, seconds.
    """
    own = min(MAX_ENGINES, cores // settings.workers)
    if settings.mode is Mode.PLAY or step_s < REMOTE_STEP_S or own < 2:
        return 0
    games = settings.worker.games_per_worker or MAX_IN_PROCESS
    return min(own, games - 1)


def make_schedule(settings: Settings, cores: int) -> Schedule:
    """Return how the games of a worker are played; see ``games_per_worker``."""
    return Schedule(
        concurrent_steps=max(1, min(MAX_CONCURRENT_STEPS, cores // settings.workers)),
        pause_when_behind=settings.worker.wait_for_learner,
        run_others_while_live=run_others_while_live(settings, cores),
        double_buffer=double_buffer(settings, cores),
    )


def run_others_while_live(settings: Settings, cores: int) -> bool:
    """Tell whether a live worker plays its other games too.

    They share the interpreter lock with the live one, and cost it frames on few cores. There they
    run only if every worker may be live at once, as nothing would learn faster than live otherwise.
    """
    workers = settings.workers
    return cores > 3 * workers or workers <= settings.cpu.effective_max_sessions


def double_buffer(settings: Settings, cores: int) -> bool:
    """Tell whether half of the unseen games move while the policy decides for the other half.

    Worth it only with idle cores: one forward pass for all games costs less than two for half.
    """
    return cores > settings.workers + 1
