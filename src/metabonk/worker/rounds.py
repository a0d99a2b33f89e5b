"""Plays games that nobody watches as fast as it goes.

Where there are cores to spare the games take turns in two halves: while the policy decides for one
half, in one forward pass, the engines of the other half move (double-buffered sampling, Petrenko et
al. 2020). Where a learner and other workers have use for every core, the policy decides for all
games at once, which costs less for each. ViZDoom leaves Python's lock while its engine moves, and
each engine is a process, so threads are enough to have several move at once.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from metabonk.policy import Actor
from metabonk.worker.lane import Lane, Lived


class Rounds:
    """Takes lanes from decision to decision.

    Its threads have the priority of the thread that calls ``play`` first.

    Args:
        actor: decides.
        on_lived: told of every decision's outcome, on the thread that calls ``play``.
        parts: that the games take turns in.
        threads: games that may move at once.
    """

    def __init__(
        self, actor: Actor, on_lived: Callable[[Lane, Lived], None], *, parts: int, threads: int
    ) -> None:
        self._actor = actor
        self._parts = parts
        self._on_lived = on_lived
        self._pool = ThreadPoolExecutor(threads, "standby-games")

    def close(self) -> None:
        """Ends its threads."""
        self._pool.shutdown()

    def play(self, lanes: Callable[[], Sequence[Lane]], goes_on: Callable[[], bool]) -> None:
        """Plays until ``goes_on`` says no; then every game stands still.

        Args:
            lanes: that are played; asked before every turn, since more may come. At least one.
            goes_on: asked before every turn.

        Raises:
            GameError: a game broke.
        """
        moving: dict[int, tuple[Lane, Future[Lived]]] = {}
        turn = 0
        try:
            while goes_on():
                playing = lanes()
                part = playing[turn % self._parts :: self._parts]
                turn += 1
                self._settle(moving, [lane.number for lane in part])
                if len(playing) == 1 and part:
                    # Another thread would only be woken for it.
                    self._play_alone(part[0])
                elif part:
                    self._set_moving(moving, part)
        finally:
            wait([future for _, future in moving.values()])
        self._settle(moving, list(moving))

    def _play_alone(self, lane: Lane) -> None:
        version = self._actor.version
        (decision,) = self._actor.act([lane.seen()], [lane.number])
        self._on_lived(lane, lane.step(decision, version))

    def _set_moving(
        self, moving: dict[int, tuple[Lane, Future[Lived]]], part: Sequence[Lane]
    ) -> None:
        version = self._actor.version
        decisions = self._actor.act([lane.seen() for lane in part], [lane.number for lane in part])
        for lane, decision in zip(part, decisions, strict=True):
            moving[lane.number] = lane, self._pool.submit(lane.step, decision, version)

    def _settle(
        self, moving: dict[int, tuple[Lane, Future[Lived]]], numbers: Sequence[int]
    ) -> None:
        """Waits for these games to stand still, and tells what came of it."""
        for number in numbers:
            if number in moving:
                lane, future = moving.pop(number)
                self._on_lived(lane, future.result())
