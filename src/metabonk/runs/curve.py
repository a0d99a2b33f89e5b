"""The learning curve, kept at a bounded resolution. Pure."""

from dataclasses import dataclass

from metabonk.messages import CurvePoint

RESOLUTION = 2048
"""Points kept at least, once there are that many episodes; twice as many at most."""


@dataclass(slots=True)
class _Bucket:
    fleet_step: int
    ended_at: float
    total: float
    episodes: int

    def absorb(self, later: "_Bucket") -> None:
        self.fleet_step = later.fleet_step
        self.ended_at = later.ended_at
        self.total += later.total
        self.episodes += later.episodes

    def point(self) -> CurvePoint:
        return CurvePoint(
            fleet_step=self.fleet_step,
            ended_at=self.ended_at,
            mean_return=self.total / self.episodes,
            episodes=self.episodes,
        )


class Curve:
    """Episodes in the order they came, summed up over neighbours as they become many.

    Neighbours are merged by twos, so a point that a plot has shown stays where it is until the
    resolution halves.
    """

    def __init__(self) -> None:
        self._buckets: list[_Bucket] = []
        self._size = 1
        self.episodes = 0

    def add(self, *, fleet_step: int, ended_at: float, total_reward: float) -> None:
        """Takes one episode."""
        self.episodes += 1
        bucket = _Bucket(fleet_step, ended_at, total_reward, 1)
        if self._buckets and self._buckets[-1].episodes < self._size:
            self._buckets[-1].absorb(bucket)
            return
        self._buckets.append(bucket)
        if len(self._buckets) >= 2 * RESOLUTION:
            self._buckets = _merge(self._buckets, 2)
            self._size *= 2

    def points(self, at_most: int) -> list[CurvePoint]:
        """The whole curve in ``at_most`` points or fewer."""
        together = max(1, -(-len(self._buckets) // at_most))
        return [bucket.point() for bucket in _merge(self._buckets, together)]


def _merge(buckets: list[_Bucket], together: int) -> list[_Bucket]:
    merged = []
    for start in range(0, len(buckets), together):
        first = buckets[start]
        whole = _Bucket(first.fleet_step, first.ended_at, first.total, first.episodes)
        for later in buckets[start + 1 : start + together]:
            whole.absorb(later)
        merged.append(whole)
    return merged
