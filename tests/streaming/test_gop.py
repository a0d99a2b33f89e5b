"""``metabonk.streaming.gop``: packed fragments, their times and the current GOP."""

import io
from itertools import pairwise

import av
from hypothesis import given
from hypothesis import strategies as st

from metabonk.encoding.access_unit import TIMESCALE, AccessUnit
from metabonk.streaming.gop import CurrentGop, Packer, QueueLimits, Timeline
from tests.support.frames import encode_frames, regular_times


def open_packer() -> Packer:
    opened = Packer()
    opened.open_epoch(320, 180, 30)
    return opened


def test_the_first_keyframe_starts_an_epoch_and_later_ones_do_not():
    packer = open_packer()
    results = [packer.add(unit) for unit in encode_frames(regular_times(6), keyframes=(3,))]
    started = [epoch for epoch, _ in results if epoch is not None]
    assert results[0][0] is not None and len(started) == 1
    assert (started[0].number, started[0].width, started[0].height, started[0].fps) == (
        1,
        320,
        180,
        30,
    )
    assert started[0].parameters.mime.startswith('video/mp4; codecs="avc1.42C0')


def test_the_gop_is_everything_since_the_last_keyframe_and_decodes_by_itself():
    packer, gop = open_packer(), CurrentGop(QueueLimits(seconds=60, size=2**30))
    units = encode_frames(regular_times(9), keyframes=(3,))
    assert not gop.started
    for unit in units:
        _, fragment = packer.add(unit)
        assert fragment is not None
        gop.add(fragment)
    assert gop.started
    assert [fragment.unit for fragment in gop.fragments] == units[3:]
    assert packer.epoch is not None
    data = packer.epoch.init + b"".join(fragment.data for fragment in gop.fragments)
    with av.open(io.BytesIO(data)) as file:
        assert len(list(file.decode(video=0))) == 6
    gop.clear()
    assert not gop.started and gop.fragments == []


def test_units_before_the_first_keyframe_are_dropped():
    packer = open_packer()
    units = encode_frames(regular_times(4), keyframes=(2,))
    assert [packer.add(unit) for unit in units[1:2]] == [(None, None)]
    assert packer.add(units[2])[0] is not None


def test_a_keyframe_without_parameter_sets_starts_no_epoch():
    packer = open_packer()
    assert packer.add(AccessUnit(b"\0\0\1\x65\x88", 1.0, True)) == (None, None)


def test_a_new_encoder_starts_an_epoch_with_its_own_clock():
    packer = open_packer()
    for unit in encode_frames(regular_times(3)):
        packer.add(unit)
    packer.open_epoch(160, 90, 30)
    assert packer.epoch is None
    late = [5000.0, 5000.03]
    epoch, first = packer.add(encode_frames(late, size=(160, 90))[0])
    assert epoch is not None and (epoch.number, epoch.width) == (2, 160)
    assert first is not None and first.decode_time == 0


def test_new_parameter_sets_start_an_epoch_by_themselves():
    packer = open_packer()
    packer.add(encode_frames(regular_times(1))[0])
    epoch, _ = packer.add(encode_frames(regular_times(1), size=(160, 90))[0])
    assert epoch is not None and epoch.number == 2


def test_after_an_end_the_next_keyframe_starts_a_new_epoch():
    packer = open_packer()
    units = encode_frames(regular_times(4), keyframes=(3,))
    packer.add(units[0])
    packer.end()
    assert packer.add(units[1]) == (None, None)
    epoch, _ = packer.add(units[3])
    assert epoch is not None and epoch.number == 2


def test_a_gop_beyond_the_limits_is_dropped_as_a_whole():
    for limits in (QueueLimits(seconds=0.1, size=2**30), QueueLimits(seconds=60, size=3000)):
        packer, gop = open_packer(), CurrentGop(limits)
        packed = [packer.add(unit)[1] for unit in encode_frames(regular_times(12), keyframes=(10,))]
        for number, fragment in enumerate(packed[:11]):
            assert fragment is not None
            gop.add(fragment)
            if number == 9:
                assert gop.fragments == [] and gop.started
        assert gop.fragments == packed[10:11]


def placed(times: list[float], fps: int = 30) -> list[int]:
    timeline = Timeline(fps)
    return [timeline.place(time) for time in times]


def test_an_epoch_starts_at_zero_and_keeps_real_time():
    times = [5000.0, 5000.033, 5000.05, 5000.17]
    assert placed(times) == [0, 2970, 4500, 15_300]


def test_a_long_pause_is_shortened_and_later_times_shift_with_it():
    before, after, later = placed([0.0, 10.0, 10.05])
    limit = 2 * Timeline(30).duration
    assert 0 < after - before <= limit
    assert later - after == round(0.05 * TIMESCALE)


def test_times_that_round_to_the_same_value_still_increase():
    assert placed([1.0, 1.000001, 1.000002]) == [0, 1, 2]


def test_a_slow_stream_declares_its_longer_duration():
    assert Timeline(5).duration == TIMESCALE // 5
    assert placed([0.0, 0.2, 0.4], fps=5) == [0, 18_000, 36_000]


@given(st.lists(st.floats(1e-6, 3.0), max_size=50), st.integers(1, 120))
def test_no_gap_makes_a_player_drop_frames(steps: list[float], fps: int):
    at, times = 1e5, [1e5]
    for step in steps:
        at += step
        times.append(at)
    shown = placed(times, fps)
    declared = Timeline(fps).duration
    assert all(0 < b - a < 2 * declared for a, b in pairwise(shown))


def test_rounding_errors_do_not_accumulate():
    times = [i / 30 + i * 1e-7 for i in range(10_000)]
    assert abs(placed(times)[-1] - round(times[-1] * TIMESCALE)) <= 1
