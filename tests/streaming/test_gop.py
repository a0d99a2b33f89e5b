"""What is packed, and what a viewer who joins gets."""

import io
from itertools import pairwise

import av
from hypothesis import given
from hypothesis import strategies as st

from metabonk.encoding.frame import TIMESCALE, AccessUnit
from metabonk.streaming.gop import GopCache, QueueLimits, Timeline
from tests.support.frames import encoded, regular

ROOMY = QueueLimits(seconds=60, size=2**30)


def cache(limits: QueueLimits = ROOMY) -> GopCache:
    opened = GopCache(limits)
    opened.open_epoch(320, 180, 30)
    return opened


def test_the_first_keyframe_begins_an_epoch_and_later_ones_do_not():
    group = cache()
    results = [group.add(unit) for unit in encoded(regular(6), keyframes=(3,))]
    begun = [epoch for epoch, _ in results if epoch is not None]
    assert results[0][0] is not None and len(begun) == 1
    assert (begun[0].number, begun[0].width, begun[0].height, begun[0].fps) == (1, 320, 180, 30)
    assert begun[0].mime.startswith('video/mp4; codecs="avc1.42C0')


def test_the_group_is_what_came_since_the_last_keyframe():
    group = cache()
    units = encoded(regular(6), keyframes=(3,))
    for unit in units:
        group.add(unit)
    assert [fragment.unit for fragment in group.fragments] == units[3:]


def test_the_init_segment_and_the_group_decode_by_themselves():
    group = cache()
    for unit in encoded(regular(9), keyframes=(3,)):
        group.add(unit)
    assert group.epoch is not None
    data = group.epoch.init + b"".join(fragment.data for fragment in group.fragments)
    with av.open(io.BytesIO(data)) as file:
        assert len(list(file.decode(video=0))) == 6


def test_pictures_before_the_first_keyframe_are_of_no_use():
    group = cache()
    units = encoded(regular(4), keyframes=(2,))
    assert [group.add(unit) for unit in units[1:2]] == [(None, None)]
    assert group.add(units[2])[0] is not None


def test_a_keyframe_without_parameter_sets_begins_nothing():
    group = cache()
    assert group.add(AccessUnit(b"\0\0\1\x65\x88", 1.0, True)) == (None, None)


def test_a_new_encoder_begins_an_epoch_with_a_clock_of_its_own():
    group = cache()
    for unit in encoded(regular(3)):
        group.add(unit)
    group.open_epoch(160, 90, 30)
    assert group.epoch is None and group.fragments == []
    late = [5000.0, 5000.03]
    epoch, first = group.add(encoded(late, size=(160, 90))[0])
    assert epoch is not None and (epoch.number, epoch.width) == (2, 160)
    assert first is not None and first.decode_time == 0


def test_other_parameter_sets_begin_an_epoch_even_if_nobody_said_so():
    group = cache()
    group.add(encoded(regular(1))[0])
    epoch, _ = group.add(encoded(regular(1), size=(160, 90))[0])
    assert epoch is not None and epoch.number == 2


def test_after_an_end_the_next_keyframe_begins_anew():
    group = cache()
    units = encoded(regular(4), keyframes=(3,))
    group.add(units[0])
    group.end()
    assert group.add(units[1]) == (None, None)
    epoch, _ = group.add(units[3])
    assert epoch is not None and epoch.number == 2


def test_a_group_beyond_the_limits_is_not_kept_by_half():
    for limits in (QueueLimits(seconds=0.1, size=2**30), QueueLimits(seconds=60, size=3000)):
        group = cache(limits)
        units = encoded(regular(12), keyframes=(10,))
        for unit in units[:10]:
            _, fragment = group.add(unit)
            assert fragment is not None
        assert group.fragments == []
        group.add(units[10])
        assert len(group.fragments) == 1


def placed(times: list[float], fps: int = 30) -> list[int]:
    timeline = Timeline(fps)
    return [timeline.place(time) for time in times]


def test_an_epoch_starts_at_zero_and_keeps_true_time():
    times = [5000.0, 5000.033, 5000.05, 5000.17]
    assert placed(times) == [0, 2970, 4500, 15_300]


def test_a_long_pause_is_shortened_and_later_times_move_with_it():
    before, after, later = placed([0.0, 10.0, 10.05])
    limit = 2 * Timeline(30).duration
    assert 0 < after - before <= limit
    assert later - after == round(0.05 * TIMESCALE)


def test_times_that_round_to_the_same_still_grow():
    assert placed([1.0, 1.000001, 1.000002]) == [0, 1, 2]


def test_a_slow_stream_declares_its_own_longer_duration():
    assert Timeline(5).duration == TIMESCALE // 5
    assert placed([0.0, 0.2, 0.4], fps=5) == [0, 18_000, 36_000]


@given(st.lists(st.floats(1e-6, 3.0), max_size=50), st.integers(1, 120))
def test_no_step_is_one_that_makes_a_player_throw_pictures_away(steps: list[float], fps: int):
    at, times = 1e5, [1e5]
    for step in steps:
        at += step
        times.append(at)
    shown = placed(times, fps)
    declared = Timeline(fps).duration
    assert all(0 < b - a < 2 * declared for a, b in pairwise(shown))


def test_rounding_does_not_add_up():
    times = [i / 30 + i * 1e-7 for i in range(10_000)]
    assert abs(placed(times)[-1] - round(times[-1] * TIMESCALE)) <= 1
