"""Where pictures come from: shadows that are started, and given up; trainers that are asked."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import psutil
import pytest

from metabonk.broadcast.announcement import Announcement, Recipe
from metabonk.broadcast.records import FrameRecord, Record
from metabonk.broadcast.ring_layout import Demand
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.wrapper import Broadcast
from metabonk.errors import ReplayError
from metabonk.guest import shadow_source as module
from metabonk.guest.inline_source import InlineSource
from metabonk.guest.shadow_source import ShadowSource, host_name
from metabonk.guest.source import Source
from metabonk.messages import Drawn
from tests.support.waiting import until


@pytest.fixture
def environment() -> Iterator[Broadcast]:
    made = Broadcast(gymnasium.make("Pendulum-v1", render_mode="rgb_array"), budget=1.0)
    made.reset(seed=1)
    with contextlib.closing(made):
        yield made


def ring_of(environment: Broadcast) -> Path:
    file = environment._channel.ring.file  # type: ignore[union-attr]
    assert file is not None
    return file


def recipe_of(environment: Broadcast) -> Recipe:
    with contextlib.closing(RingReader(ring_of(environment))) as reader:
        recipe = Announcement.from_json(reader.announcement).recipe
    assert recipe is not None
    return recipe


def shadow_of(environment: Broadcast, **changes: Any) -> ShadowSource:
    recipe = dataclasses.replace(recipe_of(environment), **changes)
    return ShadowSource(ring_of(environment), os.getpid(), recipe, os.getpid())


def step(environment: Broadcast) -> None:
    _, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
    if terminated or truncated:
        environment.reset()


def watch(source: Source, environment: Broadcast, seconds: float, fps: int) -> list[Record]:
    """Play in real time for a while, and return what is shown meanwhile."""
    seen, until_s = list[Record](), time.monotonic() + seconds
    while time.monotonic() < until_s:
        source.ask(fps)
        step(environment)
        seen += source.read()[0]
        time.sleep(0.01)
    return seen


def test_a_trainer_draws_every_frame_or_about_one_a_second(environment: Broadcast):
    source = InlineSource(RingReader(ring_of(environment)))
    assert (source.drawn, source.note) == (Drawn.INLINE, "")
    live = watch(source, environment, 2.0, 30)
    frames = sum(isinstance(each, FrameRecord) for each in live)
    assert frames > 20
    assert source.steps_per_s is not None and source.steps_per_s > 20
    source.close()
    assert environment._channel.ring.demand is Demand.NOTHING
    watch(source, environment, 0.2, 1)
    seen = watch(source, environment, 3.0, 1)
    assert sum(isinstance(each, FrameRecord) for each in seen) in range(2, 16)
    source.close()


def test_a_trainer_that_can_not_draw_is_not_asked(environment: Broadcast):
    source = InlineSource(RingReader(ring_of(environment)), "it can't")
    with pytest.raises(ReplayError, match="it can't"):
        source.ask(30)
    source.close()
    assert environment._channel.ring.demand is Demand.NOTHING


def test_a_shadow_is_started_shows_and_ends(environment: Broadcast):
    source = shadow_of(environment)
    until("frames", lambda: watch(source, environment, 0.1, 30))
    environment.reset()
    until("a report", lambda: watch(source, environment, 0.1, 30) and source._report)
    assert source._report is not None and source._host is not None
    shadow, host = psutil.Process(source._report.pid), source._host
    assert shadow.ppid() == host.pid and source.drawn is Drawn.SHADOW
    assert os.getsid(host.pid) == host.pid, "other guests share it"
    source.close()
    until("its end", lambda: not shadow.is_running() or shadow.status() == "zombie")
    until("the end of what forked it", lambda: host.returncode == 0)


def test_what_forks_shadows_is_shared_by_environments_of_one_trainer(environment: Broadcast):
    recipe = recipe_of(environment)
    name = host_name(recipe, 7)
    assert name == host_name(dataclasses.replace(recipe, spec="{}"), 7)
    for other in (
        host_name(recipe, 8),
        host_name(dataclasses.replace(recipe, python="/usr/bin/python"), 7),
        host_name(dataclasses.replace(recipe, folder="/"), 7),
        host_name(dataclasses.replace(recipe, path=()), 7),
    ):
        assert other != name


def test_a_python_without_metabonk_is_given_up(environment: Broadcast, tmp_path: Path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    source = shadow_of(environment, python=str(broken))

    def is_given_up() -> bool:
        with contextlib.suppress(ReplayError):
            source.ask(30)
            return False
        return True

    until("it is given up", is_given_up)
    source.close()


def test_a_folder_that_is_gone_is_told(environment: Broadcast, tmp_path: Path):
    source = shadow_of(environment, folder=str(tmp_path / "gone"))
    with pytest.raises(ReplayError, match=r"can't be started in .*gone \(No such file"):
        source.ask(30)


def test_shadows_that_end_again_and_again_are_given_up(
    environment: Broadcast, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MAX_FAILURES", 2)
    source = shadow_of(environment)
    with pytest.raises(ReplayError, match="2 times in a row, its shadow ended unexpectedly"):
        deadline = time.monotonic() + 60
        killed = set[int]()
        while time.monotonic() < deadline:
            source.ask(30)
            source.read()
            report = source._report
            if report is not None and report.pid not in killed:
                killed.add(report.pid)
                psutil.Process(report.pid).kill()
            time.sleep(0.005)
    assert len(killed) == 2
    source.close()
