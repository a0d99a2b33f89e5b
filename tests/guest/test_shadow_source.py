"""Shadows as guests have them: started, shared, followed by others, and given up."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from metabonk.broadcast.announcement import Announcement, Recipe
from metabonk.broadcast.ring_reader import RingReader
from metabonk.broadcast.wrapper import Broadcast
from metabonk.errors import ReplayError
from metabonk.guest import shadow_source as module
from metabonk.guest.shadow_source import ShadowSource, host_name
from metabonk.messages.workers import Drawn
from tests.support.broadcasts import ring_of, watch
from tests.support.waiting import until


def recipe_of(environment: Broadcast) -> Recipe:
    with contextlib.closing(RingReader(ring_of(environment))) as reader:
        recipe = Announcement.from_json(reader.announcement).recipe
    assert recipe is not None
    return recipe


def shadow_of(environment: Broadcast, **changes: Any) -> ShadowSource:
    recipe = dataclasses.replace(recipe_of(environment), **changes)
    return ShadowSource(ring_of(environment), os.getpid(), recipe, os.getpid())


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
