"""How many games a worker plays, and how they share its cores. Pure.

docs/benchmarks.md, "Scheduling of games on few cores", has the measurements.
"""

from dataclasses import dataclass

from metabonk.messages import Mode
from metabonk.settings import Settings

MAX_GAMES = 16
"""Games a worker plays by default where a stream may be shown."""

MAX_GAMES_UNSEEN = 24
"""The same where none is: beyond that, engines evict each other from the caches."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the games of a worker are played.

    Attributes:
        pause_when_behind: unseen games pause while the learner is behind.
        run_others_while_live: unseen games are played while one is live.
        double_buffer: half of the unseen games move while the policy decides for the other half.
    """

    pause_when_behind: bool = True
    run_others_while_live: bool = True
    double_buffer: bool = True


def games_per_worker(settings: Settings, cores: int) -> int:
    """Return the number of games a worker plays at once: by default one per core it has to itself.

    More are faster, but cost a live stream frames. Where nothing learns, one is shown.

    Args:
        settings: of the fleet.
        cores: that the process may use.
    """
    if settings.mode is Mode.PLAY:
        return 1
    if settings.worker.games_per_worker or not settings.stream.enabled:
        return settings.worker.games_per_worker or MAX_GAMES_UNSEEN
    return max(1, min(MAX_GAMES, cores // settings.workers))


def make_schedule(settings: Settings, cores: int) -> Schedule:
    """Return how the games of a worker are played; see ``games_per_worker``."""
    return Schedule(
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
