"""Learning curve at a bounded resolution. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from metabonk.messages.runs import CurvePoint

RESOLUTION = 2048
"""Least number of points once there are that many episodes; there are fewer than twice as many."""


class Bucket(NamedTuple):
    """Consecutive episodes, aggregated.

    Attributes:
        last_id: of the last episode in the database.
        fleet_step: steps of all workers at the last episode.
        ended_at: Unix time of the last episode, seconds.
        total_reward: sum of the returns.
        best_return: highest return.
        episodes: how many they are.
    """

    last_id: int
    fleet_step: int
    ended_at: float
    total_reward: float
    best_return: float
    episodes: int

    def joined(self, other: "Bucket") -> "Bucket":
        """Return the aggregate of both."""
        return Bucket(
            max(self.last_id, other.last_id),
            max(self.fleet_step, other.fleet_step),
            max(self.ended_at, other.ended_at),
            self.total_reward + other.total_reward,
            max(self.best_return, other.best_return),
            self.episodes + other.episodes,
        )

    def point(self) -> CurvePoint:
        """Return it as a plot shows it."""
        return CurvePoint(
            fleet_step=self.fleet_step,
            ended_at=self.ended_at,
            mean_return=self.total_reward / self.episodes,
            episodes=self.episodes,
        )


class Curve:
    """Episodes in order of arrival, averaged over neighbours once there are many. Immutable.

    Neighbours are merged in pairs, so a point that was plotted stays in place until the
    resolution halves.

    Args:
        resolution: least number of buckets once there are that many episodes; there are fewer than
            twice as many.
        buckets: of an earlier curve of this resolution.

    Attributes:
        episodes: how many it covers.
        unchanged: leading buckets that it shares with the curve it extends.
    """

    def __init__(self, resolution: int = RESOLUTION, buckets: Iterable[Bucket] = ()) -> None:
        self._resolution = resolution
        self._buckets = list(buckets)
        self._bucket_size = max((bucket.episodes for bucket in self._buckets), default=1)
        self.episodes = sum(bucket.episodes for bucket in self._buckets)
        self.unchanged = 0

    @property
    def buckets(self) -> Sequence[Bucket]:
        """The whole curve, for a copy of it."""
        return self._buckets

    @property
    def last(self) -> Bucket | None:
        """The newest bucket; None before the first episode."""
        return self._buckets[-1] if self._buckets else None

    def extended(self, later: Iterable[Bucket]) -> "Curve":
        """Return the curve with later episodes appended."""
        curve = Curve(self._resolution)
        buckets, size = self._buckets.copy(), self._bucket_size
        unchanged, episodes = len(buckets), self.episodes
        for bucket in later:
            episodes += bucket.episodes
            size = max(size, bucket.episodes)
            if buckets and buckets[-1].episodes + bucket.episodes <= size:
                buckets[-1] = buckets[-1].joined(bucket)
                unchanged = min(unchanged, len(buckets) - 1)
                continue
            buckets.append(bucket)
            if len(buckets) >= 2 * self._resolution:
                buckets, size, unchanged = _merge(buckets, 2), 2 * size, 0
        curve._buckets, curve._bucket_size = buckets, size
        curve.unchanged, curve.episodes = unchanged, episodes
        return curve

    def points(self, at_most: int) -> list[CurvePoint]:
        """Return the whole curve in ``at_most`` points or fewer."""
        group = max(1, -(-len(self._buckets) // at_most))
        return [bucket.point() for bucket in _merge(self._buckets, group)]


def _merge(buckets: Sequence[Bucket], group: int) -> list[Bucket]:
    merged = []
    for start in range(0, len(buckets), group):
        bucket = buckets[start]
        for later in buckets[start + 1 : start + group]:
            bucket = bucket.joined(later)
        merged.append(bucket)
    return merged
