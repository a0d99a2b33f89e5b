"""Statistics of the learner and its TensorBoard files."""

import contextlib
import logging
import resource
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from metabonk.learner.ppo import Counters, Update
from metabonk.learner.stats import RETRY_S, WINDOW_S, LearnerStats, TensorBoardWriter
from metabonk.runs.layout import TENSORBOARD_DIR
from tests.support.clock import Clock


def test_the_step_rate_covers_only_the_last_window():
    clock = Clock(100.0)
    stats = LearnerStats(clock)
    clock.now += 10
    stats.updated(Update(500, 3, 1.5, {"value": 0.25}), Counters(1, 500, 3, 1, 0), 0.5)
    status = stats.status()
    assert status.steps_per_s == 50
    assert status.steps_trained == 500
    assert status.steps_dropped == 3
    assert status.policy_version == status.updates == 1
    assert status.policy_lag == 1.5
    assert status.waiting == 0.95
    assert status.losses == {"value": 0.25}
    assert status.uptime_s == 10
    clock.now += WINDOW_S
    assert stats.status().steps_per_s == 0
    assert stats.status().waiting == 1


def test_a_new_learner_starts_at_zero():
    status = LearnerStats().status()
    assert status.steps_trained == status.policy_version == 0
    assert status.losses == {}


def test_counters_continue_from_a_checkpoint():
    stats = LearnerStats()
    stats.restored(Counters(7, 700, 1, 7, 2))
    assert stats.status().policy_version == 7
    assert stats.status().gradient_steps_skipped == 2


def test_an_update_without_steps_keeps_the_last_losses():
    stats = LearnerStats()
    stats.updated(Update(10, 0, 2.0, {"value": 1.0}), Counters(1, 10, 0, 1, 0), 0.0)
    stats.updated(Update(0, 10, 0.0), Counters(1, 10, 10, 1, 0), 0.0)
    assert stats.status().losses == {"value": 1.0}
    assert stats.status().policy_lag == 2.0
    assert stats.status().steps_dropped == 10


def read_events(run_dir: Path) -> list[Event]:
    """Read the records of the only event file."""
    (file,) = (run_dir / TENSORBOARD_DIR).iterdir()
    return read_file(file)


def read_file(file: Path) -> list[Event]:
    """Read the records of an event file: length, checksum, data, checksum."""
    data, events = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return events


def test_each_curve_gets_a_point_unless_its_value_is_missing(tmp_path: Path):
    with contextlib.closing(TensorBoardWriter(tmp_path)) as events:
        events.add({"episode/return": 2.5, "episode/length": None}, 512)
        events.add({"episode/return": 3.5, "episode/length": 7.0}, 1024)
        header, first, second = read_events(tmp_path)
    assert header.file_version == "brain.Event:2"
    assert first.step == 512
    assert {v.tag: v.simple_value for v in first.summary.value} == {"episode/return": 2.5}
    assert {v.tag for v in second.summary.value} == {"episode/return", "episode/length"}


def test_nothing_is_written_without_updates(tmp_path: Path):
    with contextlib.closing(TensorBoardWriter(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_a_warning_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / TENSORBOARD_DIR).write_text("in the way")
    clock = Clock()
    with contextlib.closing(TensorBoardWriter(tmp_path, clock)) as events:
        events.add({"a": 1.0}, 1)
        clock.now += RETRY_S
        events.add({"a": 2.0}, 2)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "have a gap" in caplog.text


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let this process write no byte to any file: the nearest to a full disk without root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_curves_continue_when_a_full_disk_has_space_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    clock = Clock()
    with contextlib.closing(TensorBoardWriter(tmp_path, clock)) as events:
        events.add({"a": 1.0}, 1)
        with full_disk():
            for step in (2, 3):
                events.add({"a": 2.0}, step)
                clock.now += RETRY_S / 2
        events.add({"a": 4.0}, 4)
    first, second = sorted((tmp_path / TENSORBOARD_DIR).iterdir())
    assert [event.step for event in read_file(first)[1:]] == [1]
    assert [event.step for event in read_file(second)[1:]] == [4]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_disk_that_stays_full_collects_no_empty_files(tmp_path: Path):
    clock = Clock()
    with contextlib.closing(TensorBoardWriter(tmp_path, clock)) as events:
        with full_disk():
            for step in range(5):
                events.add({"a": 1.0}, step)
                assert list((tmp_path / TENSORBOARD_DIR).iterdir()) == []
                clock.now += RETRY_S
        events.add({"a": 1.0}, 5)
    assert [event.step for event in read_events(tmp_path)[1:]] == [5]
