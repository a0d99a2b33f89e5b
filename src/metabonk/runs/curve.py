"""Learning curve at a bounded resolution. Pure."""

from dataclasses import dataclass

from metabonk.messages import CurvePoint

RESOLUTION = 2048
"""Least number of points once there are that many episodes; there are fewer than twice as many."""


@dataclass(slots=True)
class _Bucket:
    fleet_step: int
    ended_at: float
    total_reward: float
    episodes: int

    def absorb(self, later: "_Bucket") -> None:
        self.fleet_step = later.fleet_step
        self.ended_at = later.ended_at
        self.total_reward += later.total_reward
        self.episodes += later.episodes

    def point(self) -> CurvePoint:
        return CurvePoint(
            fleet_step=self.fleet_step,
            ended_at=self.ended_at,
            mean_return=self.total_reward / self.episodes,
            episodes=self.episodes,
        )


class Curve:
    """Episodes in order of arrival, averaged over neighbours once there are many.

    Neighbours are merged in pairs, so a point that was plotted stays in place until the
    resolution halves.
    """

    def __init__(self) -> None:
        self._buckets: list[_Bucket] = []
        self._bucket_size = 1
        self.episodes = 0

    def add(self, *, fleet_step: int, ended_at: float, total_reward: float) -> None:
        """Append one episode."""
        self.episodes += 1
        bucket = _Bucket(fleet_step, ended_at, total_reward, 1)
        if self._buckets and self._buckets[-1].episodes < self._bucket_size:
            self._buckets[-1].absorb(bucket)
            return
        self._buckets.append(bucket)
        if len(self._buckets) >= 2 * RESOLUTION:
            self._buckets = _merge(self._buckets, 2)
            self._bucket_size *= 2

    def points(self, at_most: int) -> list[CurvePoint]:
        """Return the whole curve in ``at_most`` points or fewer."""
        group = max(1, -(-len(self._buckets) // at_most))
        return [bucket.point() for bucket in _merge(self._buckets, group)]


def _merge(buckets: list[_Bucket], group: int) -> list[_Bucket]:
    merged = []
    for start in range(0, len(buckets), group):
        first = buckets[start]
        bucket = _Bucket(first.fleet_step, first.ended_at, first.total_reward, first.episodes)
        for later in buckets[start + 1 : start + group]:
            bucket.absorb(later)
        merged.append(bucket)
    return merged
