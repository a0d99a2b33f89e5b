"""A run's curves, read from what the learner's own writer has written."""

from pathlib import Path

import pytest

from metabonk.learner.stats import TensorBoardWriter
from metabonk.runs.event_file import read_scalars
from metabonk.runs.layout import TENSORBOARD_DIR
from metabonk.runs.learning import LearningRecord


def write(run_dir: Path, *points: tuple[int, dict[str, float | None]]) -> None:
    writer = TensorBoardWriter(run_dir)
    for step, scalars in points:
        writer.add(scalars, step)
    writer.close()


def test_curves_are_what_the_learner_wrote(tmp_path: Path):
    write(tmp_path, (100, {"update/kl": 0.5, "episode/return": None}), (200, {"update/kl": 1.5}))
    record = LearningRecord(tmp_path)
    record.update()
    curves = record.curves(10)
    assert curves.steps == [100, 200]
    assert curves.times == sorted(curves.times)
    assert curves.values == {"update/kl": [0.5, 1.5]}


def test_a_curve_that_begins_later_has_no_values_before(tmp_path: Path):
    write(tmp_path, (1, {"a": 1.0}), (2, {"a": 2.0, "b": 3.0}))
    record = LearningRecord(tmp_path)
    record.update()
    assert record.curves(10).values == {"a": [1.0, 2.0], "b": [None, 3.0]}


def test_many_points_are_averaged_over_neighbours(tmp_path: Path):
    values = [1.0, 3.0, float("nan"), 5.0, 7.0]
    write(tmp_path, *((step, {"a": value}) for step, value in enumerate(values, 1)))
    record = LearningRecord(tmp_path)
    record.update()
    curves = record.curves(3)
    assert curves.steps == [2, 4, 5]
    assert curves.values == {"a": [2.0, 5.0, 7.0]}


def test_it_is_read_as_it_grows_and_a_record_in_writing_is_left_for_later(tmp_path: Path):
    write(tmp_path / "whole", (1, {"a": 1.0}), (2, {"a": 2.0}))
    (file,) = (tmp_path / "whole" / TENSORBOARD_DIR).iterdir()
    data = file.read_bytes()
    growing = tmp_path / TENSORBOARD_DIR / file.name
    growing.parent.mkdir()
    growing.write_bytes(data[:-3])
    record = LearningRecord(tmp_path)
    record.update()
    assert record.curves(10).steps == [1]
    growing.write_bytes(data)
    record.update()
    assert record.curves(10).steps == [1, 2]


def test_steps_that_were_trained_again_replace_the_earlier_ones(tmp_path: Path):
    folder = tmp_path / TENSORBOARD_DIR
    for name, points in (("1", (10, 20, 30)), ("2", (15, 25))):
        write(tmp_path / name, *((step, {"a": float(name)}) for step in points))
        (file,) = (tmp_path / name / TENSORBOARD_DIR).iterdir()
        folder.mkdir(exist_ok=True)
        file.rename(folder / f"{name}-{file.name}")
    record = LearningRecord(tmp_path)
    record.update()
    curves = record.curves(10)
    assert curves.steps == [10, 15, 25]
    assert curves.values == {"a": [1.0, 2.0, 2.0]}


@pytest.mark.parametrize("data", [b"", b"short", bytes(12) + b"\0" * 4])
def test_what_holds_no_scalars_has_none(data: bytes):
    assert read_scalars(data)[0] == []


def test_a_damaged_record_is_refused():
    with pytest.raises(ValueError, match="cut off"):
        read_scalars(b"\x02" + bytes(11) + b"\x2a\x7f" + bytes(4))
