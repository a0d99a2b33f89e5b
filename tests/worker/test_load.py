"""Measurement of a stream's load."""

from types import SimpleNamespace

import pytest

from metabonk.worker import load
from metabonk.worker.load import Cause, IdleCores, LoadMeter, LoadSample


def test_a_sample_is_due_once_it_is_a_second_long():
    meter = LoadMeter()
    meter.restart(100.0)
    for number in range(1, 11):
        meter.on_drawn(100 + number / 10, waited_s=0.04, deciding_s=0.01)
        meter.on_encoded(0.02)
    meter.on_dropped()
    assert not meter.is_due(100.9)
    assert meter.is_due(101.0)
    assert meter.take(101.0, 1.5) == LoadSample(
        1.0, 10, 1, pytest.approx(0.6), pytest.approx(0.2), 1.5, pytest.approx(0.1)
    )
    assert not meter.is_due(101.5)
    assert meter.is_due(102.0)
    assert meter.take(102.0, 1.5) == LoadSample(1.0, 0, 0, 1.0, 0.0, 1.5)


def test_a_pause_between_episodes_is_left_out():
    meter = LoadMeter()
    meter.restart(100.0)
    meter.on_drawn(100.5, waited_s=0.25)
    meter.on_episode_start()
    meter.on_drawn(107.5, waited_s=0.0, deciding_s=6.0)
    assert not meter.is_due(107.6)
    meter.on_drawn(108.0, waited_s=0.25)
    assert meter.is_due(108.0)
    assert meter.take(108.0, 1.5) == LoadSample(1.0, 2, 0, 0.5, 0.0, 1.5)


def test_a_repeated_frame_counts_and_a_pause_begins_after_it():
    meter = LoadMeter()
    meter.restart(100.0)
    meter.on_drawn(100.0, waited_s=0.0)
    meter.on_repeated(100.5)
    meter.on_episode_start()
    meter.on_drawn(107.5, waited_s=0.0)
    meter.on_repeated(108.0)
    assert meter.is_due(108.0)
    assert meter.take(108.0, 1.5) == LoadSample(1.0, 3, 0, 1.0, 0.0, 1.5)


def test_a_pause_longer_than_a_sample_is_left_out_of_the_next_one_too():
    meter = LoadMeter()
    meter.restart(100.0)
    meter.on_episode_start()
    meter.take(101.0, 1.5)
    meter.on_drawn(103.0, waited_s=0.0)
    assert not meter.is_due(103.9)
    assert meter.is_due(104.0)
    assert meter.take(104.0, 1.5) == LoadSample(1.0, 0, 0, 1.0, 0.0, 1.5)


@pytest.mark.parametrize(
    ("dropped", "deciding_s", "drawing_s", "encoding_s", "cause"),
    [
        (0, 0.7, 0.3, 0.5, Cause.DECIDING),
        (0, 0.3, 0.7, 0.5, Cause.DECIDING),  # in time without the decisions
        (0, 0.2, 0.8, 0.5, Cause.DRAWING),
        (0, 0.0, 1.0, 0.5, Cause.DRAWING),
        (0, 0.1, 0.4, 0.5, Cause.DRAWING),  # nothing is busy: the threads wait for cores
        (0, 0.7, 0.3, 0.9, Cause.ENCODING),
        (5, 0.7, 0.3, 0.1, Cause.ENCODING),
        (5, 0.0, 1.0, 0.1, Cause.ENCODING),
    ],
)
def test_a_late_stream_has_one_cause(
    dropped: int, deciding_s: float, drawing_s: float, encoding_s: float, cause: Cause
):
    playing_s = deciding_s + drawing_s
    assert LoadSample(1.0, 20, dropped, playing_s, encoding_s, 1.0, deciding_s).cause() is cause


def times(**seconds: float) -> SimpleNamespace:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    return SimpleNamespace(**{**dict.fromkeys(names, 0.0), **seconds})


def test_idle_cores_and_those_with_background_work_are_spare(
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
    monkeypatch.setattr(load.psutil, "cpu_times", lambda: next(counted))
    monkeypatch.setattr(load, "available_cores", lambda: 4)
    cores = IdleCores()
    assert cores.since_last() == pytest.approx(4 * 5 / 8)
    assert cores.since_last() == 0.0, "no time has passed"
    assert cores.since_last() == 0.0


def test_this_machine_has_no_more_spare_cores_than_cores():
    cores = IdleCores()
    assert 0 <= cores.since_last() <= load.available_cores()
