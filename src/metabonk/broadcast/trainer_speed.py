"""Speed at which a trainer steps an environment, from what is recorded of it. Pure."""

from collections import deque
from collections.abc import Sequence

from metabonk.broadcast.records import EpisodeStart, Record, Step

WINDOW_S = 5.0
"""Time that is averaged over; where little is recorded, over several stretches."""

USUAL_S = 1.0
"""Time between two records of a trainer that takes steps, with that until they are read."""


class TrainerSpeed:
    """Steps per second of an environment in its trainer.

    Measured over stretches that are recorded without a gap: while nothing is wanted of a trainer,
    its steps are not counted.
    """

    def __init__(self) -> None:
        self._counted: deque[tuple[int, float]] = deque()
        self._written_at: float | None = None
        self._episode: int | None = None
        self._has_ended = False

    def steps_per_s(self, asked_at: float | None, now: float) -> float | None:
        """Return the mean of the last seconds that were recorded; None before there are any.

        It falls to 0 while a trainer that is asked for records takes no step, as when it learns.

        Args:
            asked_at: time since which it is asked all the time; None: it is not.
            now: time on the same clock.
        """
        seconds = sum(each for _, each in self._counted)
        if asked_at is not None and self._written_at is not None and self._written_at >= asked_at:
            silent_s = max(0.0, now - self._written_at - USUAL_S)
            if silent_s >= WINDOW_S and self._counted:
                return 0.0
            seconds += silent_s
        return sum(steps for steps, _ in self._counted) / seconds if seconds > 0 else None

    def add(self, written_at: float, records: Sequence[Record], *, has_gap: bool = False) -> None:
        """Take records into account.

        Args:
            written_at: time at which they were written together.
            records: in their order.
            has_gap: some before them were missed.
        """
        steps, is_continuous = 0, self._written_at is not None and not has_gap
        for record in records:
            match record:
                case EpisodeStart():
                    follows = self._has_ended and record.number - 1 == self._episode
                    is_continuous = is_continuous and follows
                    self._episode, self._has_ended = record.number, False
                case Step():
                    steps += 1
                    self._has_ended = record.is_last
        if not any(isinstance(record, EpisodeStart | Step) for record in records):
            return
        if is_continuous and self._written_at is not None:
            # After a pause, the mean is again one of the last seconds as soon as they have passed.
            self._counted.append((steps, min(WINDOW_S, written_at - self._written_at)))
            self._forget()
        self._written_at = written_at

    def _forget(self) -> None:
        seconds = sum(each for _, each in self._counted)
        while seconds - self._counted[0][1] > WINDOW_S:
            seconds -= self._counted.popleft()[1]
