"""What the learner says of itself."""

import contextlib
import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from metabonk.learner import stats as events_module
from metabonk.learner.ppo import Counters, Update
from metabonk.learner.stats import WINDOW_S, LearnerStats, TensorBoardWriter
from metabonk.runs.layout import TENSORBOARD_DIR


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_steps_are_counted_per_second_and_forgotten_after_the_window():
    clock = Clock()
    stats = LearnerStats(clock)
    clock.now += 10
    stats.updated(Update(500, 3, 1.5, {"value": 0.25}), Counters(1, 500, 3, 1, 0))
    status = stats.status()
    assert status.steps_per_s == 50
    assert status.steps_trained == 500
    assert status.steps_dropped == 3
    assert status.policy_version == status.updates == 1
    assert status.policy_lag == 1.5
    assert status.losses == {"value": 0.25}
    assert status.uptime_s == 10
    clock.now += WINDOW_S
    assert stats.status().steps_per_s == 0


def test_a_new_learner_has_done_nothing():
    status = LearnerStats().status()
    assert status.steps_trained == status.policy_version == 0
    assert status.losses == {}


def test_counters_go_on_from_a_checkpoint():
    stats = LearnerStats()
    stats.restored(Counters(7, 700, 1, 7, 2))
    assert stats.status().policy_version == 7
    assert stats.skipped() == 2


def test_an_update_that_learned_nothing_keeps_the_last_losses():
    stats = LearnerStats()
    stats.updated(Update(10, 0, 2.0, {"value": 1.0}), Counters(1, 10, 0, 1, 0))
    stats.updated(Update(0, 10, 0.0), Counters(1, 10, 10, 1, 0))
    assert stats.status().losses == {"value": 1.0}
    assert stats.status().policy_lag == 2.0
    assert stats.status().steps_dropped == 10


def written(run_dir: Path) -> list[Event]:
    """What is in the one event file: records of length, checksum, data, checksum."""
    (file,) = (run_dir / TENSORBOARD_DIR).iterdir()
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def test_each_curve_gets_a_point_at_its_step_and_what_has_no_value_none(tmp_path: Path):
    with contextlib.closing(TensorBoardWriter(tmp_path)) as events:
        events.add({"episode/return": 2.5, "episode/length": None}, 512)
        events.add({"episode/return": 3.5, "episode/length": 7.0}, 1024)
        header, first, second = written(tmp_path)
    assert header.file_version == "brain.Event:2"
    assert first.step == 512
    assert {v.tag: v.simple_value for v in first.summary.value} == {"episode/return": 2.5}
    assert {v.tag for v in second.summary.value} == {"episode/return", "episode/length"}


def test_who_learns_nothing_writes_nothing(tmp_path: Path):
    with contextlib.closing(TensorBoardWriter(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_ends_the_curves_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / TENSORBOARD_DIR).write_text("in the way")
    with contextlib.closing(TensorBoardWriter(tmp_path)) as events:
        events.add({"a": 1.0}, 1)
        events.add({"a": 2.0}, 2)
    assert caplog.text.count("are no longer written") == 1


def test_a_disk_that_fills_up_ends_the_curves_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(writer: object, event: Event) -> None:
        raise OSError(28, "No space left on device")

    with contextlib.closing(TensorBoardWriter(tmp_path)) as events:
        events.add({"a": 1.0}, 1)
        monkeypatch.setattr(events_module.EventsWriter, "write_event", full)
        events.add({"a": 2.0}, 2)
    assert "No space left on device" in caplog.text
    assert len(written(tmp_path)) == 2
