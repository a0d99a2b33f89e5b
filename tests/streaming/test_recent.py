"""``metabonk.streaming.recent``: what is kept of a stream, by time and by size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metabonk.encoding.access_unit import AccessUnit
from metabonk.streaming.fmp4 import ParameterSets
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.recent import RecentGops

EPOCHS = [Epoch(number, ParameterSets(b"", b""), 320, 180, 10, b"") for number in (1, 2)]


def add(
    kept: RecentGops, at: float, *, keyframe: bool, size: int = 100, epoch: Epoch = EPOCHS[0]
) -> None:
    unit = AccessUnit(b"", at, keyframe)
    kept.add(epoch, Fragment(unit, round(at * 90_000), bytes(size), ("{}",)))


def stream(kept: RecentGops, seconds: int, *, gop: int = 20, since: int = 0) -> None:
    """Add ten frames a second, and a keyframe every ``gop``."""
    for i in range(since * 10, (since + seconds) * 10):
        add(kept, i / 10, keyframe=i % gop == 0)


def times(kept: RecentGops, seconds: float = 1e9) -> list[float]:
    return [frame.captured_at for gop in kept.last(seconds) for frame in gop.frames]


def test_the_last_seconds_are_kept_from_a_keyframe_on():
    kept = RecentGops(60, 1 << 30)
    stream(kept, 200)
    # The newest frame is of 199.9 s; the picture of 139.9 s is in the group that began at 138 s.
    assert (times(kept)[0], times(kept)[-1]) == (138, 199.9)
    assert len(times(kept)) == 620


def test_a_stretch_is_as_long_as_asked_for_or_longer_by_less_than_a_group():
    kept = RecentGops(60, 1 << 30)
    stream(kept, 200)
    assert (times(kept, 10)[0], times(kept, 0)[0]) == (188, 198)
    assert kept.since(150.5)[0].frames[0].captured_at == 150
    assert kept.since(0)[0].frames[0].captured_at == 138
    assert kept.since(1000)[0].frames[0].captured_at == 198


def test_no_more_bytes_are_kept_than_allowed_and_still_from_a_keyframe_on():
    kept = RecentGops(60, 10_000)
    stream(kept, 60)
    gops = kept.last(60)
    assert sum(gop.size for gop in gops) <= 10_000
    assert times(kept)[0] % 2 == 0, "at a keyframe"
    assert sum(len(gop.frames) for gop in gops) > 50, "as much as fits"


def test_a_group_that_alone_is_too_large_is_not_kept_and_the_next_one_is():
    kept = RecentGops(60, 1000)
    stream(kept, 2)
    assert kept.last(60) == []
    add(kept, 2.0, keyframe=True)
    assert times(kept) == [2.0]


def test_what_was_handed_out_does_not_change():
    kept = RecentGops(60, 1 << 30)
    stream(kept, 3)
    gops = kept.last(60)
    stream(kept, 1, since=3)
    assert sum(len(gop.frames) for gop in gops) == 30


def test_the_past_goes_on_through_epochs():
    kept = RecentGops(60, 1 << 30)
    stream(kept, 4)
    add(kept, 9.0, keyframe=False, epoch=EPOCHS[1])
    assert times(kept)[-1] == 3.9, "the rest of an epoch that no keyframe began"
    add(kept, 9.1, keyframe=True, epoch=EPOCHS[1])
    assert [gop.epoch.number for gop in kept.last(60)] == [1, 1, 2]


def test_nothing_is_kept_for_longer_in_standby():
    kept = RecentGops(60, 1 << 30)
    stream(kept, 30)
    kept.expire(70.0)
    assert times(kept)[0] == 10
    kept.expire(89.8)
    assert times(kept)[0] == 28
    kept.expire(90.0)
    assert kept.last(60) == [] and kept.since(0) == []


@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.booleans(), st.integers(1, 400)), max_size=60),
    st.floats(0.5, 20),
    st.integers(200, 5000),
)
def test_it_always_begins_at_a_keyframe_and_stays_within_its_bounds(
    frames: list[tuple[float, bool, int]], seconds: float, size: int
):
    kept, at, keyframes = RecentGops(seconds, size), 0.0, set[float]()
    for step, keyframe, length in frames:
        at += step
        keyframes |= {at} if keyframe else set()
        add(kept, at, keyframe=keyframe, size=length)
        gops = kept.last(1e9)
        assert all(gop.frames and gop.frames[0].captured_at in keyframes for gop in gops)
        assert sum(gop.size for gop in gops) <= size
        assert all(gop.frames[0].captured_at > at - seconds for gop in gops[1:])


def test_a_minute_of_a_hundred_viewers_is_kept_once():
    kept = RecentGops(60, 1 << 30)
    unit = AccessUnit(bytes(100), 1.0, True)
    fragment = Fragment(unit, 0, bytes(100))
    kept.add(EPOCHS[0], fragment)
    (frame,) = kept.last(60)[0].frames
    assert frame.data is fragment.data
    with pytest.raises(AttributeError):
        _ = frame.unit  # type: ignore[attr-defined]  # a second copy of the frame
