"""Limits of a stream's quality, and its steps."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.ladder import RUNGS
from metabonk.system.tic_clock import TicClock
from metabonk.worker import load
from metabonk.worker.load import LoadSample
from metabonk.worker.quality import (
    DOWN_SAMPLES,
    MAX_UP_HOLD_S,
    MIN_FPS,
    TRIAL_S,
    UP_HOLD_S,
    WINDOW,
    AdaptiveQuality,
    QualityController,
    render_size,
    renditions,
)

WANTED = EncoderSettings(1280, 720, 30, 4_000_000, 2.0)
LADDER = renditions(WANTED)
BOTTOM = LADDER[-1]

wanted_settings = st.builds(
    lambda width, height, fps, bitrate: EncoderSettings(2 * width, 2 * height, fps, bitrate, 2.0),
    st.integers(64, 1920),
    st.integers(36, 1080),
    st.integers(1, 120),
    st.integers(100_000, 20_000_000),
)


def shapes(wanted: EncoderSettings) -> list[tuple[int, int, int]]:
    return [(each.width, each.height, each.fps) for each in renditions(wanted)]


def test_frames_become_smaller_first_and_fewer_then():
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


@given(wanted_settings)
def test_every_step_down_is_less_work_at_the_same_shape_and_bits_per_pixel(
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
        assert each.fps >= min(MIN_FPS, wanted.fps)
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
    assert render_size(EncoderSettings(*stream, 30, 1_000_000, 2.0)) == drawn


@dataclass
class Machine:
    """A machine that takes so long for a frame, and drops what its encoder does not take.

    Attributes:
        fixed_s: for a frame of any size.
        pixel_s: a million pixels of it.
        encoder: how much longer the encoder takes than the game.
        spare: idle cores.
        tics_per_s: the game's own pace.
    """

    fixed_s: float
    pixel_s: float
    encoder: float = 0.5
    spare: float = 8.0
    tics_per_s: float = 30.0

    def sample(self, settings: EncoderSettings) -> LoadSample:
        playing = self.fixed_s + self.pixel_s * settings.width * settings.height / 1e6
        encoding = playing * self.encoder
        drawn = settings.fps * min(1.0, 1 / (playing * self.tics_per_s))
        encoded = min(drawn, 1 / encoding)
        return LoadSample(
            1.0,
            round(drawn),
            round(drawn - encoded),
            min(1.0, self.tics_per_s * playing),
            min(1.0, drawn * encoding),
            self.spare,
        )

    def keeps_up(self, settings: EncoderSettings) -> bool:
        return not self.sample(settings).is_overloaded(settings.fps)


def steps_of(
    controller: QualityController, machine: Machine, seconds: int
) -> Iterator[tuple[int, EncoderSettings]]:
    """Yield the steps of ``seconds`` seconds, each with its second."""
    for second in range(seconds):
        if (step := controller.update(machine.sample(controller.settings))) is not None:
            yield second, step


FAST = Machine(0.001, 0.01)
KEEPS_UP_AT_540 = Machine(0.002, 0.06)
TOO_SLOW = Machine(0.2, 0.2, spare=0.0)
FALL_S = 1 + DOWN_SAMPLES
"""Seconds until a step down."""


def test_a_machine_that_keeps_up_changes_nothing():
    controller = QualityController(LADDER)
    assert list(steps_of(controller, FAST, 1000)) == []
    assert controller.note is None


@pytest.mark.parametrize("seconds", [1, DOWN_SAMPLES - 1])
def test_a_program_that_starts_beside_it_changes_nothing(seconds: int):
    controller = QualityController(LADDER)
    for _ in range(20):
        assert list(steps_of(controller, FAST, WINDOW)) == []
        assert list(steps_of(controller, TOO_SLOW, seconds)) == []


def test_a_machine_that_falls_behind_gets_less_work_within_seconds():
    controller = QualityController(LADDER)
    ((second, step),) = steps_of(controller, KEEPS_UP_AT_540, 10)
    assert second == DOWN_SAMPLES
    assert step == controller.settings == LADDER[1]
    assert controller.note == (
        "960×540 at 30 frames/s instead of 1280×720 at 30: this machine can't keep up with drawing"
    )


def test_frames_dropped_before_the_encoder_count_as_overload_too():
    controller = QualityController(LADDER)
    slow_encoder = Machine(0.001, 0.02, encoder=2.1)
    assert slow_encoder.sample(WANTED).drawn == 30
    assert [step for _, step in steps_of(controller, slow_encoder, 10)] == [LADDER[1]]
    assert (controller.note or "").endswith("can't keep up with encoding")


def test_the_more_frames_are_missing_the_farther_it_steps_down():
    controller = QualityController(LADDER)
    (first, *_) = steps_of(controller, Machine(0.0, 0.13), 10)
    assert first[1] == LADDER[2], "a fourth of the pixels, where two of seven frames came"


def test_at_the_bottom_it_stays_and_the_stream_continues():
    controller = QualityController(LADDER)
    steps = list(steps_of(controller, TOO_SLOW, 200))
    assert steps[-1][1] == controller.settings == BOTTOM
    assert steps[-1][0] < 4 * FALL_S
    assert (controller.note or "").endswith("can't keep up with drawing: no core is idle")


def test_a_game_that_is_late_beside_idle_cores_becomes_smaller_and_keeps_its_rate():
    controller = QualityController(LADDER)
    list(steps_of(controller, replace(TOO_SLOW, spare=1.0), 200))
    assert (controller.settings.height, controller.settings.fps) == (360, 30)


def test_a_machine_that_is_short_of_a_few_frames_all_the_time_gets_less_work():
    """Not in each second: 15 frames were due, and one more or less is a tenth."""
    controller = QualityController(renditions(replace(WANTED, fps=15)))
    steps = [
        controller.update(LoadSample(1.0, drawn, 0, 1.0, 0.1, 1.0))
        for drawn in (13, 14, 13, 12, 14, 13, 12, 14, 13, 14, 12)
    ]
    assert [step.height for step in steps if step] == [540]


def late_decisions(deciding_s: float, drawing_s: float, encoding_s: float) -> LoadSample:
    """Return a second in which half of the frames came, with the play thread busy throughout."""
    return LoadSample(1.0, 15, 0, deciding_s + drawing_s, encoding_s, 0.0, deciding_s)


def test_late_decisions_never_lower_the_size_or_the_rate():
    controller = QualityController(LADDER)
    for _ in range(1000):
        assert controller.update(late_decisions(0.5, 0.5, 0.5)) is None
    assert controller.settings == WANTED and controller.note is None


def test_late_drawing_or_encoding_lowers_it_beside_late_decisions_too():
    for seconds in ((0.2, 0.8, 0.5), (0.5, 0.5, 0.9)):
        controller = QualityController(LADDER)
        steps = [controller.update(late_decisions(*seconds)) for _ in range(FALL_S)]
        assert steps[-1] is not None and steps[:-1] == [None] * (FALL_S - 1)


def test_room_for_larger_frames_is_reckoned_without_the_decisions():
    """Decisions cost the same at any size."""
    controller = QualityController(LADDER[:2])
    list(steps_of(controller, TOO_SLOW, FALL_S))
    deciding = LoadSample(1.0, 30, 0, 0.6, 0.1, 8.0, 0.55)
    assert [step for _ in range(60) if (step := controller.update(deciding))] == [WANTED]


def test_an_encoder_that_is_late_beside_idle_cores_gets_fewer_frames():
    controller = QualityController(LADDER)
    list(steps_of(controller, Machine(0.01, 0.01, encoder=5.0), 200))
    assert controller.settings.fps < 30


def test_it_steps_up_as_far_as_there_is_room_after_a_hold():
    controller = QualityController(LADDER)
    ((fell_at, bottom), *_) = steps_of(controller, TOO_SLOW, FALL_S)
    assert bottom == controller.settings == BOTTOM
    ((second, step),) = steps_of(controller, FAST, 200)
    assert step == WANTED
    assert second + FALL_S - fell_at >= UP_HOLD_S
    assert controller.note is None


def test_with_some_room_it_steps_up_in_stages():
    controller = QualityController(LADDER)
    list(steps_of(controller, TOO_SLOW, FALL_S))
    seen = list(steps_of(controller, Machine(0.003, 0.015), 200))
    assert [step for _, step in seen] == [LADDER[1], WANTED]
    assert all(later - earlier >= UP_HOLD_S for (earlier, _), (later, _) in pairwise(seen))


def test_without_room_it_does_not_step_up():
    controller = QualityController(LADDER)
    list(steps_of(controller, KEEPS_UP_AT_540, 1000))
    assert controller.settings == LADDER[1]


def test_without_spare_cores_it_does_not_step_up_though_its_own_load_is_low():
    """Other processes are."""
    controller = QualityController(LADDER)
    list(steps_of(controller, TOO_SLOW, 20))
    assert controller.settings == BOTTOM
    assert list(steps_of(controller, replace(FAST, spare=0.01), 1000)) == []
    assert list(steps_of(controller, replace(FAST, spare=0.5), 100)) != []


def test_the_hold_doubles_each_time_a_step_up_proves_too_much():
    """A machine that idles at 540 lines, and that 720 lines overwhelm."""
    controller, ups = QualityController(LADDER), []
    for second in range(4000):
        machine = FAST if controller.settings.height < 720 else TOO_SLOW
        step = controller.update(machine.sample(controller.settings))
        if step == WANTED:
            ups.append(second)
    pauses = [later - earlier for earlier, later in pairwise(ups)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 120
    assert pauses[-1] > MAX_UP_HOLD_S


def test_a_step_up_that_survives_its_trial_has_its_hold_reset():
    controller = QualityController(LADDER[:2])
    for _ in range(5):
        list(steps_of(controller, TOO_SLOW, FALL_S))
        assert controller.settings == LADDER[1]
        list(steps_of(controller, FAST, int(2 * MAX_UP_HOLD_S)))
        assert controller.settings == WANTED
    list(steps_of(controller, FAST, int(TRIAL_S)))
    list(steps_of(controller, TOO_SLOW, FALL_S))
    ((second, _),) = steps_of(controller, FAST, 100)
    assert second <= UP_HOLD_S + 1


def test_streams_of_one_machine_do_not_step_up_at_the_same_moment():
    def first_step_up(jitter: float) -> int:
        controller = QualityController(LADDER, jitter)
        list(steps_of(controller, TOO_SLOW, FALL_S))
        return next(steps_of(controller, FAST, 100))[0]

    assert len({first_step_up(jitter) for jitter in (0.0, 0.3, 0.6, 0.9)}) == 4


def test_samples_from_before_an_encoder_was_opened_do_not_count():
    controller = QualityController(LADDER)
    for _ in range(100):
        list(steps_of(controller, TOO_SLOW, DOWN_SAMPLES))
        controller.restart()
    assert controller.settings == WANTED


@settings(max_examples=40, deadline=None)
@given(
    wanted_settings,
    st.builds(Machine, st.floats(0, 0.1), st.floats(0.001, 0.3), st.floats(0.1, 2)),
    st.floats(0, 1),
)
def test_on_a_steady_machine_a_stream_settles_at_a_quality_that_it_keeps_up_with(
    wanted: EncoderSettings, machine: Machine, jitter: float
):
    controller = QualityController(renditions(wanted), jitter)
    steps = list(steps_of(controller, machine, 1200))
    settled = controller.settings
    late = machine.sample(settled)
    rate_helps = late.is_encoder_late() or late.is_short_of_cores()
    helpful = [each for each in renditions(wanted) if rate_helps or each.fps == settled.fps]
    assert machine.keeps_up(settled) or settled == helpful[-1]
    assert len(steps) <= 2 * len(renditions(wanted)) + 12, "no oscillation"


def overload(quality: AdaptiveQuality, now: float) -> float:
    """Measure seconds without a frame until a step; return the time of that step."""
    for second in range(1, 20):
        if quality.step(RUNGS[0], now + second) is not None:
            return now + second
    raise AssertionError("no step in 20 s")


def test_each_rung_has_a_quality_of_its_own_which_outlasts_its_session():
    quality = AdaptiveQuality(lambda rung: LADDER)
    quality.restart(RUNGS[0], 100.0)
    now = overload(quality, 100.0)
    assert quality.settings_for(RUNGS[0]) != WANTED
    assert "can't keep up" in (quality.note(RUNGS[0]) or "")
    assert quality.settings_for(RUNGS[1]) == WANTED
    lowered = quality.settings_for(RUNGS[0])
    quality.restart(RUNGS[0], now)
    assert quality.settings_for(RUNGS[0]) == lowered


@pytest.mark.parametrize("tics_per_s", [1, 10, 35])
@pytest.mark.parametrize("fps", [30, 60])
def test_only_a_game_slower_than_its_own_pace_steps_down(tics_per_s: int, fps: int):
    def settings_after(seconds: int, tic_s: float) -> EncoderSettings:
        quality = AdaptiveQuality(lambda rung: renditions(replace(WANTED, fps=fps)))
        clock, now = TicClock(tics_per_s, fps), 100.0
        quality.restart(RUNGS[0], now)
        while now < 100 + seconds:
            if count := clock.count_frames():
                quality.on_drawn(now, clock.wait_s(now), dropped=False)
                for at in clock.repeat_at(now, count):
                    quality.on_repeated(at)
                    quality.step(RUNGS[0], at)
            quality.step(RUNGS[0], now)
            now += tic_s
        return quality.settings_for(RUNGS[0])

    assert settings_after(20, 1 / tics_per_s).height == WANTED.height
    assert settings_after(20, 1.2 / tics_per_s).height < WANTED.height


def test_a_step_is_decided_once_a_sample_is_due(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(load, "SAMPLE_S", 5.0)
    quality = AdaptiveQuality(lambda rung: LADDER)
    quality.restart(RUNGS[0], 100.0)
    quality.on_drawn(101.0, 0.5, dropped=True)
    quality.on_encoded(0.25)
    for _ in range(100):
        assert quality.step(RUNGS[0], 104.9) is None
    for number in range(1, FALL_S + 1):
        stepped = quality.step(RUNGS[0], 100.0 + 5 * number)
    assert stepped is not None
    settings, sample = stepped
    assert settings == quality.settings_for(RUNGS[0])
    assert sample.seconds == 5.0
