"""Encoders are really probed; those that can't be are reported, and having none is blocking."""

from pathlib import Path

import pytest

from metabonk.doctor import encoders as encoders_module
from metabonk.doctor.encoders import INSTALL_GSTREAMER, encoder_findings, gstreamer_finding
from metabonk.encoding import probe
from metabonk.encoding.sessions import Lease, open_pools
from metabonk.settings import Settings
from tests.support.machines import GEFORCE, pools_of

ENCODING = Path(__file__).parents[2] / "docs" / "encoding.md"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "paths": {"runtime": tmp_path / "runtime"},
            "cpu": {"max_sessions": 1},
            "stream": {"engine": "av"},
        }
    )


def test_software_works_and_the_other_rungs_report_why_not(settings: Settings):
    lines = [finding.message for finding in encoder_findings(settings, open_pools(settings))]
    assert "encoder av:libx264: works" in lines
    assert "encoder gst:appsrc:x264enc: stream.engine is 'av'" in lines


def test_sessions_held_by_a_running_fleet_are_no_fault(settings: Settings):
    pools = open_pools(settings)
    lease = pools.cpu.take(worker="omega-0", purpose="stream")
    assert isinstance(lease, Lease)
    with lease:
        found = list(encoder_findings(settings, pools))
    (software,) = [f.message for f in found if f.message.startswith("encoder av:libx264")]
    assert "not known; not probed now" in software and "omega-0" in software
    assert not any(f.blocking for f in found)


def test_a_cached_result_is_probed_again(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    pools = open_pools(settings)
    assert "encoder av:libx264: works" in [f.message for f in encoder_findings(settings, pools)]
    lease = pools.cpu.take(worker="omega-0", purpose="stream")
    assert isinstance(lease, Lease)
    with lease:
        assert any(
            "libx264: has worked here" in f.message for f in encoder_findings(settings, pools)
        )
    monkeypatch.setattr(probe.sys, "executable", "/bin/false")
    assert any("libx264: its probe failed" in f.message for f in encoder_findings(settings, pools))


def test_having_no_working_encoder_is_blocking(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe.sys, "executable", "/bin/false")
    *_, last = encoder_findings(settings, open_pools(settings))
    assert last.message == "no encoder works here"
    assert last.blocking and "docs/encoding.md" in (last.action or "")


@pytest.fixture(autouse=True)
def _no_other_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders_module, "RENDER_NODES", tmp_path / "nowhere")


def test_with_a_gpu_one_command_installs_gstreamer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(encoders_module, "has_gstreamer", lambda: False)
    finding = gstreamer_finding(pools_of(tmp_path, GEFORCE))
    assert finding.action == INSTALL_GSTREAMER and not finding.blocking
    assert gstreamer_finding(pools_of(tmp_path)).action is None
    monkeypatch.setattr(encoders_module, "RENDER_NODES", tmp_path)
    assert gstreamer_finding(pools_of(tmp_path)).action == INSTALL_GSTREAMER


def test_an_installed_gstreamer_is_reported_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(encoders_module, "has_gstreamer", lambda: True)
    monkeypatch.setattr(encoders_module, "gstreamer_version", lambda: "PyGObject 3.50")
    assert (
        gstreamer_finding(pools_of(tmp_path, GEFORCE)).message
        == "GStreamer bindings: PyGObject 3.50"
    )


def test_the_install_command_matches_the_documentation():
    block = ENCODING.read_text().split("```bash")[1].split("```")[0]
    words = block.replace("\\\n", " ").split()
    assert [word for word in INSTALL_GSTREAMER.split() if word != "&&"] == words
