import pytest

from metabonk.runs.curve import RESOLUTION, Bucket, Curve


def filled(count: int) -> Curve:
    return Curve().extended(map(single, range(1, count + 1)))


def single(number: int) -> Bucket:
    return Bucket(number, number * 10, float(number), float(number), float(number), 1)


def test_a_few_episodes_are_one_point_each():
    points = filled(3).points(500)
    assert [(p.fleet_step, p.mean_return, p.episodes) for p in points] == [
        (10, 1.0, 1),
        (20, 2.0, 1),
        (30, 3.0, 1),
    ]


def test_no_episodes_are_no_points():
    assert Curve().points(10) == []


@pytest.mark.parametrize("count", [1, 7, 100, 5 * RESOLUTION + 3])
@pytest.mark.parametrize("at_most", [1, 2, 50, 10_000])
def test_no_episode_is_lost_and_the_last_step_is_kept(count: int, at_most: int):
    points = filled(count).points(at_most)
    assert len(points) <= at_most
    assert sum(point.episodes for point in points) == count
    mean = sum(point.mean_return * point.episodes for point in points) / count
    assert mean == pytest.approx((count + 1) / 2)
    assert (points[-1].fleet_step, points[-1].ended_at) == (count * 10, count)
    steps = [point.fleet_step for point in points]
    assert steps == sorted(steps)


def test_memory_is_bounded_for_any_number_of_episodes():
    assert RESOLUTION <= len(filled(20 * RESOLUTION).points(10_000)) <= 2 * RESOLUTION


def test_a_point_that_was_shown_stays_in_place():
    curve = filled(4 * RESOLUTION)
    before = curve.points(10_000)
    later = curve.extended([single(10**6)])
    assert later.points(10_000)[: len(before) - 1] == before[:-1]
    assert curve.points(10_000) == before


@pytest.mark.parametrize("count", [1, 9, 2 * RESOLUTION - 1, 4 * RESOLUTION - 1, 5 * RESOLUTION])
def test_a_copy_is_kept_current_by_what_changes(count: int):
    before = filled(count)
    after = before.extended(map(single, range(count + 1, count + 4)))
    kept = list(before.buckets)[: after.unchanged]
    assert kept == list(after.buckets)[: after.unchanged]
    copy = Curve(buckets=kept + list(after.buckets)[after.unchanged :])
    assert copy.points(10_000) == after.points(10_000)
    assert copy.episodes == count + 3
    further = [single(number) for number in range(count + 4, count + 40)]
    assert copy.extended(further).points(10_000) == after.extended(further).points(10_000)


def test_aggregates_of_many_episodes_keep_the_resolution_even():
    """Episodes of an earlier version are aggregated a thousand at a time."""
    thousand = [single(n)._replace(episodes=1000) for n in range(1, RESOLUTION)]
    curve = Curve().extended(thousand).extended(map(single, range(RESOLUTION, RESOLUTION + 2500)))
    sizes = [bucket.episodes for bucket in curve.buckets]
    assert sizes == [1000] * (RESOLUTION - 1 + 2) + [500]
