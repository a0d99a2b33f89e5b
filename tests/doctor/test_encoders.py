"""Encoders are really tried; what can't be is said, and none at all is a fault."""

from pathlib import Path

import pytest

from metabonk.doctor import encoders as gstreamer_module
from metabonk.doctor.encoders import ADD, encoders, gstreamer
from metabonk.encoding import probe
from metabonk.encoding.sessions import Lease, open_pools
from metabonk.settings import Settings
from tests.support.machines import GEFORCE, pools_of


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


ENCODING = Path(__file__).parents[2] / "docs" / "encoding.md"


@pytest.fixture(autouse=True)
def _no_other_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer_module, "RENDER_NODES", tmp_path / "nowhere")


def test_where_there_is_a_gpu_one_command_adds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gstreamer_module, "has_gstreamer", lambda: False)
    found = gstreamer(pools_of(tmp_path, GEFORCE))
    assert found.do == ADD and not found.needed
    assert gstreamer(pools_of(tmp_path)).do is None
    monkeypatch.setattr(gstreamer_module, "RENDER_NODES", tmp_path)
    assert gstreamer(pools_of(tmp_path)).do == ADD


def test_where_it_is_there_its_version_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gstreamer_module, "has_gstreamer", lambda: True)
    monkeypatch.setattr(gstreamer_module, "gstreamer_version", lambda: "PyGObject 3.50")
    assert gstreamer(pools_of(tmp_path, GEFORCE)).what == "GStreamer's bindings: PyGObject 3.50"


def test_the_command_is_that_of_the_documentation():
    block = ENCODING.read_text().split("```bash")[1].split("```")[0]
    words = block.replace("\\\n", " ").split()
    assert [word for word in ADD.split() if word != "&&"] == words
