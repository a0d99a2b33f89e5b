"""What TensorBoard shows, read back by TensorBoard."""

import logging
import os
import socket
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from metabonk.learner import events as module
from metabonk.learner.appo import Counters, Learner, Update
from metabonk.learner.events import EVERY_S, Events
from metabonk.learner.figures import Figures
from metabonk.messages import LearnerStatus
from metabonk.policy import EndedEpisode
from metabonk.settings.schema import Learning
from tests.learner.rollouts import made_up
from tests.policy.specs import NUMBERS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


def status(steps: int) -> LearnerStatus:
    figures = Figures()
    figures.updated(Update(steps, 0, 1.5), Counters(1, steps, 2, 1, 0))
    return figures.status()


def write(events: Events, steps: int, value: float) -> None:
    CLOCK.now += EVERY_S
    events.updated(Update(32, 0, 1.5, {"value": value}), status(steps), None)


def curves(run_dir: Path) -> EventAccumulator:
    shown = EventAccumulator(str(run_dir))
    shown.Reload()
    return shown


def test_an_update_becomes_a_point_of_every_curve(tmp_path: Path):
    learner = Learner(NUMBERS, Learning())
    update = learner.update([made_up(8, spec=NUMBERS)])
    events = Events(tmp_path, CLOCK)
    events.ended([EndedEpisode(total_reward=7, length=30), EndedEpisode(total_reward=9, length=10)])
    events.updated(update, status(8), 7.5)
    events.close()
    shown = curves(tmp_path)
    assert set(shown.Tags()["scalars"]) == {
        "episode/return",
        "episode/return_of_last_100",
        "episode/length",
        "loss/policy",
        "loss/value",
        "policy/entropy",
        "policy/kl",
        "policy/clip_fraction",
        "value/explained_variance",
        "optimizer/gradient_norm",
        "optimizer/learning_rate",
        "learner/lag",
        "learner/steps_per_s",
        "learner/steps_dropped",
    }
    for tag, value in [
        ("episode/return", 8),
        ("episode/length", 20),
        ("episode/return_of_last_100", 7.5),
        ("loss/value", update.losses["value"]),
        ("learner/steps_dropped", 2),
    ]:
        (point,) = shown.Scalars(tag)
        assert point.value == pytest.approx(value)
        assert point.step == 8


def test_a_curve_gets_a_point_a_second_and_episodes_wait_for_the_next(tmp_path: Path):
    events = Events(tmp_path, CLOCK)
    write(events, 10, 1.0)
    events.ended([EndedEpisode(total_reward=4, length=1)])
    events.updated(Update(32, 0, 0.0, {"value": 9.0}), status(15), None)
    write(events, 20, 2.0)
    write(events, 30, 3.0)
    events.close()
    shown = curves(tmp_path)
    assert [(p.step, p.value) for p in shown.Scalars("loss/value")] == [(10, 1), (20, 2), (30, 3)]
    assert [(p.step, p.value) for p in shown.Scalars("episode/return")] == [(20, 4)]


def test_a_run_that_goes_on_from_a_checkpoint_hides_what_came_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module.time, "time", lambda: 1_000_000.0)
    first = Events(tmp_path, CLOCK)
    for step in (10, 20, 30):
        write(first, step, step)
    first.close()
    monkeypatch.setattr(module.time, "time", lambda: 2_000_000.0)
    second = Events(tmp_path, CLOCK)
    for step in (20, 40):
        write(second, step, 1000 + step)
    second.close()
    points = curves(tmp_path).Scalars("loss/value")
    assert [(p.step, p.value) for p in points] == [(10, 10), (20, 1020), (40, 1040)]


def test_a_folder_that_cannot_be_written_costs_the_curves_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    events = Events(tmp_path / "missing", CLOCK)
    with caplog.at_level(logging.ERROR):
        write(events, 10, 1.0)
        write(events, 20, 1.0)
    assert caplog.text.count("No such file or directory. Training goes on without them") == 1
    events.close()


def test_a_disk_that_is_full_costs_the_curves_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(module.time, "time", lambda: 1_000_000.0)
    name = f"events.out.tfevents.1000000.{socket.gethostname()}.{os.getpid()}"
    (tmp_path / name).symlink_to("/dev/full")
    events = Events(tmp_path, CLOCK)
    with caplog.at_level(logging.ERROR):
        write(events, 10, 1.0)
        write(events, 20, 1.0)
    assert caplog.text.count("No space left on device") == 1
    events.close()


def test_without_a_point_there_is_no_file(tmp_path: Path):
    Events(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
