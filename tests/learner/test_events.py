"""Curves that TensorBoard reads."""

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from metabonk.learner import events as events_module
from metabonk.learner.events import FOLDER, Events


def written(run_dir: Path) -> list[Event]:
    """What is in the one event file: records of length, checksum, data, checksum."""
    (file,) = (run_dir / FOLDER).iterdir()
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def test_each_curve_gets_a_point_at_its_step_and_what_has_no_value_none(tmp_path: Path):
    with Events(tmp_path) as events:
        events.add({"episode/return": 2.5, "episode/length": None}, 512)
        events.add({"episode/return": 3.5, "episode/length": 7.0}, 1024)
        header, first, second = written(tmp_path)
    assert header.file_version == "brain.Event:2"
    assert first.step == 512
    assert {v.tag: v.simple_value for v in first.summary.value} == {"episode/return": 2.5}
    assert {v.tag for v in second.summary.value} == {"episode/return", "episode/length"}


def test_who_learns_nothing_writes_nothing(tmp_path: Path):
    with Events(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_ends_the_curves_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / FOLDER).write_text("in the way")
    with Events(tmp_path) as events:
        events.add({"a": 1.0}, 1)
        events.add({"a": 2.0}, 2)
    assert caplog.text.count("are not written any more") == 1


def test_a_disk_that_fills_up_ends_the_curves_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(writer: object, event: Event) -> None:
        raise OSError(28, "No space left on device")

    with Events(tmp_path) as events:
        events.add({"a": 1.0}, 1)
        monkeypatch.setattr(events_module.EventsWriter, "write_event", full)
        events.add({"a": 2.0}, 2)
    assert "No space left on device" in caplog.text
    assert len(written(tmp_path)) == 2
