import pytest

from metabonk.runs.curve import RESOLUTION, Curve


def filled(count: int) -> Curve:
    curve = Curve()
    for number in range(1, count + 1):
        curve.add(fleet_step=number * 10, ended_at=float(number), total_reward=float(number))
    return curve


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
    curve.add(fleet_step=10**9, ended_at=1e9, total_reward=0.0)
    assert curve.points(10_000)[: len(before) - 1] == before[:-1]
