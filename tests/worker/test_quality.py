"""What a stream may be, how it is measured, and when it steps."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.encoding.encoder import EncoderSettings
from metabonk.worker import quality as spare_module
from metabonk.worker.quality import (
    JUDGED,
    LEAST_FPS,
    LONGEST_PATIENCE_S,
    PATIENCE_S,
    PROBATION_S,
    IdleCores,
    LoadMeter,
    LoadSample,
    QualityController,
    drawn_size,
    renditions,
)

WANTED = EncoderSettings(1280, 720, 30, 4_000_000, 2.0)
LADDER = renditions(WANTED)
BOTTOM = LADDER[-1]

wanted_ones = st.builds(
    lambda width, height, fps, bitrate: EncoderSettings(2 * width, 2 * height, fps, bitrate, 2.0),
    st.integers(64, 1920),
    st.integers(36, 1080),
    st.integers(1, 120),
    st.integers(100_000, 20_000_000),
)


def shapes(wanted: EncoderSettings) -> list[tuple[int, int, int]]:
    return [(each.width, each.height, each.fps) for each in renditions(wanted)]


def test_first_the_picture_becomes_smaller_and_then_fewer_come():
    assert shapes(WANTED) == [
        (1280, 720, 30),
        (960, 540, 30),
        (640, 360, 30),
        (640, 360, 20),
        (640, 360, 15),
    ]
    assert shapes(EncoderSettings(1920, 1080, 60, 8_000_000, 2.0)) == [
        (1920, 1080, 60),
        (1280, 720, 60),
        (960, 540, 60),
        (640, 360, 60),
        (640, 360, 40),
        (640, 360, 30),
        (640, 360, 20),
        (640, 360, 15),
    ]


def test_a_small_and_slow_stream_has_nothing_below_it():
    assert shapes(EncoderSettings(256, 144, 15, 500_000, 2.0)) == [(256, 144, 15)]


@given(wanted_ones)
def test_every_step_down_is_less_work_of_the_same_shape_and_as_many_bits_a_pixel(
    wanted: EncoderSettings,
):
    ladder = renditions(wanted)
    assert ladder[0] == wanted
    for better, worse in pairwise(ladder):
        assert (worse.height < better.height) != (worse.fps < better.fps)
        assert worse.bitrate <= better.bitrate
    for each in ladder[1:]:
        assert each.width % 2 == each.height % 2 == 0
        assert abs(each.width - each.height * wanted.width / wanted.height) <= 2
        assert each.fps >= min(LEAST_FPS, wanted.fps)
        share = each.width * each.height * each.fps / (wanted.width * wanted.height * wanted.fps)
        assert each.bitrate >= 100_000 or each.bitrate >= wanted.bitrate
        assert each.bitrate == 100_000 or abs(each.bitrate - share * wanted.bitrate) <= 1


@pytest.mark.parametrize(
    ("stream", "drawn"),
    [
        ((1920, 1080), (1280, 720)),
        ((1280, 720), (1280, 720)),
        ((640, 360), (640, 360)),
        ((1440, 1080), (960, 720)),
    ],
)
def test_a_game_is_drawn_as_large_as_it_is_streamed_and_at_1280x720_at_most(
    stream: tuple[int, int], drawn: tuple[int, int]
):
    assert drawn_size(EncoderSettings(*stream, 30, 1_000_000, 2.0)) == drawn


def test_a_stretch_is_measured_once_it_is_a_second_long():
    meter = LoadMeter()
    meter.restart(100.0)
    for number in range(1, 11):
        meter.drawn(100 + number / 10, waited_s=0.04)
        meter.encoded(0.02)
    meter.dropped()
    assert not meter.due(100.9)
    assert meter.due(101.0)
    assert meter.take(101.0, 1.5) == LoadSample(
        1.0, 10, 1, pytest.approx(0.6), pytest.approx(0.2), 1.5
    )
    assert not meter.due(101.5)
    assert meter.due(102.0)
    assert meter.take(102.0, 1.5) == LoadSample(1.0, 0, 0, 1.0, 0.0, 1.5)


def test_a_pause_between_episodes_counts_for_nothing():
    meter = LoadMeter()
    meter.restart(100.0)
    meter.drawn(100.5, waited_s=0.25)
    meter.begun()
    meter.drawn(107.5, waited_s=0.0)
    assert not meter.due(107.6)
    meter.drawn(108.0, waited_s=0.25)
    assert meter.due(108.0)
    assert meter.take(108.0, 1.5) == LoadSample(1.0, 2, 0, 0.5, 0.0, 1.5)


def test_a_pause_that_goes_beyond_a_stretch_counts_for_nothing_in_the_next_one_either():
    meter = LoadMeter()
    meter.restart(100.0)
    meter.begun()
    meter.take(101.0, 1.5)
    meter.drawn(103.0, waited_s=0.0)
    assert not meter.due(103.9)
    assert meter.due(104.0)
    assert meter.take(104.0, 1.5) == LoadSample(1.0, 0, 0, 1.0, 0.0, 1.5)


@dataclass
class Machine:
    """One that takes so long for a picture, and drops what its encoder does not take.

    Attributes:
        fixed_s: for a picture of any size.
        pixel_s: a million pixels of it.
        encoder: how much longer the encoder takes than the game.
        spare: cores that have nothing to do.
    """

    fixed_s: float
    pixel_s: float
    encoder: float = 0.5
    spare: float = 8.0

    def stretch(self, settings: EncoderSettings) -> LoadSample:
        playing = self.fixed_s + self.pixel_s * settings.width * settings.height / 1e6
        encoding = playing * self.encoder
        drawn = min(settings.fps, 1 / playing)
        encoded = min(drawn, 1 / encoding)
        return LoadSample(
            1.0,
            round(drawn),
            round(drawn - encoded),
            min(1.0, drawn * playing),
            min(1.0, drawn * encoding),
            self.spare,
        )

    def holds(self, settings: EncoderSettings) -> bool:
        return not self.stretch(settings).in_trouble(settings.fps)


def watch(
    keeper: QualityController, machine: Machine, seconds: int
) -> Iterator[tuple[int, EncoderSettings]]:
    """The steps of so many seconds, each with its second."""
    for second in range(seconds):
        if (step := keeper.judge(machine.stretch(keeper.settings))) is not None:
            yield second, step


FAST = Machine(0.001, 0.01)
HOLDS_540 = Machine(0.002, 0.06)
TOO_SLOW = Machine(0.2, 0.2)


def test_a_machine_that_keeps_up_changes_nothing():
    keeper = QualityController(LADDER)
    assert list(watch(keeper, FAST, 1000)) == []
    assert keeper.sentence is None


def test_one_hitch_changes_nothing():
    keeper = QualityController(LADDER)
    list(watch(keeper, FAST, 10))
    assert keeper.judge(LoadSample(1.0, 26, 1, 1.0, 0.5, 1.0)) is None
    assert list(watch(keeper, FAST, 10)) == []


def test_a_machine_that_falls_behind_gets_less_to_do_within_seconds():
    keeper = QualityController(LADDER)
    ((second, step),) = watch(keeper, HOLDS_540, 10)
    assert second == JUDGED
    assert step == keeper.settings == LADDER[1]
    assert keeper.sentence == (
        "960×540 at 30 frames/s instead of 1280×720 at 30: this machine can't keep up"
    )


def test_pictures_dropped_in_front_of_the_encoder_are_trouble_too():
    keeper = QualityController(LADDER)
    slow_encoder = Machine(0.001, 0.02, encoder=2.1)
    assert slow_encoder.stretch(WANTED).drawn == 30
    assert [step for _, step in watch(keeper, slow_encoder, 10)] == [LADDER[1]]


def test_the_more_is_missing_the_farther_it_steps():
    keeper = QualityController(LADDER)
    (first, *_) = watch(keeper, Machine(0.0, 0.13), 10)
    assert first[1] == LADDER[2], "a fourth of the pixels, where two of seven pictures came"


def test_at_the_bottom_it_stays_and_goes_on():
    keeper = QualityController(LADDER)
    steps = list(watch(keeper, TOO_SLOW, 200))
    assert steps[-1][1] == keeper.settings == BOTTOM
    assert steps[-1][0] < 20


def test_it_steps_up_as_far_as_there_is_room_once_there_has_been_room_for_a_while():
    keeper = QualityController(LADDER)
    ((fell_at, bottom), *_) = watch(keeper, TOO_SLOW, 6)
    assert bottom == keeper.settings == BOTTOM
    ((second, step),) = watch(keeper, FAST, 200)
    assert step == WANTED
    assert second + 6 - fell_at >= PATIENCE_S
    assert keeper.sentence is None


def test_where_the_room_goes_so_far_it_steps_up_so_far_and_on_from_there():
    keeper = QualityController(LADDER)
    list(watch(keeper, TOO_SLOW, 6))
    seen = list(watch(keeper, Machine(0.003, 0.015), 200))
    assert [step for _, step in seen] == [LADDER[1], WANTED]
    assert all(later - earlier >= PATIENCE_S for (earlier, _), (later, _) in pairwise(seen))


def test_without_room_it_does_not_step_up():
    keeper = QualityController(LADDER)
    list(watch(keeper, HOLDS_540, 1000))
    assert keeper.settings == LADDER[1]


def test_without_cores_to_spare_it_does_not_step_up_though_it_is_not_busy_itself():
    """The others of the machine are."""
    keeper = QualityController(LADDER)
    list(watch(keeper, replace(TOO_SLOW, spare=0.0), 20))
    assert keeper.settings == BOTTOM
    assert list(watch(keeper, replace(FAST, spare=0.01), 1000)) == []
    assert list(watch(keeper, replace(FAST, spare=0.5), 100)) != []


def test_a_step_that_proves_too_much_is_waited_for_twice_as_long_each_time():
    """A machine that is quiet at 540 lines, and that 720 lines overwhelm."""
    keeper, ups = QualityController(LADDER), []
    for second in range(4000):
        machine = FAST if keeper.settings.height < 720 else TOO_SLOW
        step = keeper.judge(machine.stretch(keeper.settings))
        if step == WANTED:
            ups.append(second)
    pauses = [later - earlier for earlier, later in pairwise(ups)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 120
    assert pauses[-1] > LONGEST_PATIENCE_S


def test_a_step_that_has_proved_right_is_forgiven_what_it_was():
    keeper = QualityController(LADDER[:2])
    for _ in range(5):
        list(watch(keeper, TOO_SLOW, 5))
        assert keeper.settings == LADDER[1]
        list(watch(keeper, FAST, int(2 * LONGEST_PATIENCE_S)))
        assert keeper.settings == WANTED
    list(watch(keeper, FAST, int(PROBATION_S)))
    list(watch(keeper, TOO_SLOW, 5))
    ((second, _),) = watch(keeper, FAST, 100)
    assert second <= PATIENCE_S + 1


def test_streams_of_one_machine_do_not_step_up_all_at_once():
    def first_step_up(spread: float) -> int:
        keeper = QualityController(LADDER, spread)
        list(watch(keeper, TOO_SLOW, 5))
        return next(watch(keeper, FAST, 100))[0]

    assert len({first_step_up(spread) for spread in (0.0, 0.3, 0.6, 0.9)}) == 4


def test_what_was_measured_before_an_encoder_was_opened_does_not_count():
    keeper = QualityController(LADDER)
    for _ in range(100):
        list(watch(keeper, TOO_SLOW, JUDGED))
        keeper.begin()
    assert keeper.settings == WANTED


@settings(max_examples=40, deadline=None)
@given(
    wanted_ones,
    st.builds(Machine, st.floats(0, 0.1), st.floats(0.001, 0.3), st.floats(0.1, 2)),
    st.floats(0, 1),
)
def test_on_a_machine_that_stays_as_it_is_a_stream_comes_to_rest_at_what_it_holds(
    wanted: EncoderSettings, machine: Machine, spread: float
):
    keeper = QualityController(renditions(wanted), spread)
    steps = list(watch(keeper, machine, 1200))
    assert machine.holds(keeper.settings) or keeper.settings == renditions(wanted)[-1]
    assert len(steps) <= 2 * len(renditions(wanted)) + 12, "no swinging to and fro"


def times(**seconds: float) -> SimpleNamespace:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return SimpleNamespace(**{**dict.fromkeys(names, 0.0), **seconds})


def test_idle_cores_and_those_that_work_in_the_background_are_spare(
    monkeypatch: pytest.MonkeyPatch,
):
    counted = iter(
        [
            times(user=100),
            times(user=102, system=1, nice=3, idle=1, iowait=1),
            times(user=102, system=1, nice=3, idle=1, iowait=1),
            times(user=106, system=1, nice=3, idle=1, iowait=1, steal=4),
        ]
    )
    monkeypatch.setattr(spare_module.psutil, "cpu_times", lambda: next(counted))
    monkeypatch.setattr(spare_module, "available_cores", lambda: 4)
    cores = IdleCores()
    assert cores.since_last() == pytest.approx(4 * 5 / 8)
    assert cores.since_last() == 0.0, "no time has passed"
    assert cores.since_last() == 0.0


def test_the_machine_says_how_many_it_has():
    cores = IdleCores()
    assert 0 <= cores.since_last() <= spare_module.available_cores()
