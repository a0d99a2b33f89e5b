"""Encoders are really tried; what can't be is said, and none at all is a fault."""

from pathlib import Path

import pytest

from metabonk.doctor.encoders import encoders
from metabonk.encoding import probe
from metabonk.encoding.sessions import Lease, open_pools
from metabonk.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "paths": {"runtime": tmp_path / "runtime"},
            "cpu": {"max_sessions": 1},
            "stream": {"engine": "av"},
        }
    )


def test_software_works_and_the_others_say_why_they_are_out(settings: Settings):
    lines = [finding.what for finding in encoders(settings, open_pools(settings))]
    assert "encoder av:libx264: works" in lines
    assert "encoder gst:appsrc:x264enc: stream.engine is 'av'" in lines


def test_sessions_that_a_running_fleet_holds_are_no_fault(settings: Settings):
    pools = open_pools(settings)
    lease = pools.cpu.take(worker="omega-0", purpose="stream")
    assert isinstance(lease, Lease)
    with lease:
        found = list(encoders(settings, pools))
    (software,) = [f.what for f in found if f.what.startswith("encoder av:libx264")]
    assert "not known; not tried now" in software and "omega-0" in software
    assert not any(f.needed for f in found)


def test_what_is_known_is_tried_all_the_same(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    pools = open_pools(settings)
    assert "encoder av:libx264: works" in [f.what for f in encoders(settings, pools)]
    lease = pools.cpu.take(worker="omega-0", purpose="stream")
    assert isinstance(lease, Lease)
    with lease:
        assert any("libx264: has worked here" in f.what for f in encoders(settings, pools))
    monkeypatch.setattr(probe.sys, "executable", "/bin/false")
    assert any("libx264: could not be tried" in f.what for f in encoders(settings, pools))


def test_where_none_works_no_fleet_can_be_watched(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(probe.sys, "executable", "/bin/false")
    *_, last = encoders(settings, open_pools(settings))
    assert last.what == "no encoder works here"
    assert last.needed and "docs/encoding.md" in (last.do or "")
