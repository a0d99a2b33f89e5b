"""Real probes of encoders, in a child process, and their cache."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metabonk.encoding import probe as probe_module
from metabonk.encoding.ladder import RUNGS, ProbeResult
from metabonk.encoding.probe import (
    PROBE_TIMEOUT_S,
    QUARANTINE_S,
    EncoderProbe,
    NotProbed,
    ProbeCache,
    ProbeOutcome,
    ProbeReport,
)
from metabonk.encoding.sessions import Lease, open_pools
from metabonk.settings import Settings, write_settings
from tests.support.nvsim.driver import SimulatedDriver

SOFTWARE = next(rung for rung in RUNGS if rung.backend == "av:libx264")
WORKS = ProbeResult(works=True)


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    settings = Settings.model_validate(
        {"paths": {"runtime": tmp_path / "runtime"}, "cpu": {"max_sessions": 1}}
    )
    file = tmp_path / "settings.json"
    write_settings(settings, file)
    return file


@pytest.fixture
def probe(settings_file: Path, tmp_path: Path) -> EncoderProbe:
    return EncoderProbe(settings_file, ProbeCache(tmp_path))


def child_running(script: str, folder: Path) -> str:
    """Write an executable that replaces the probe's Python interpreter."""
    child = folder / "child"
    child.write_text(f"#!/bin/sh\n{script}\n")
    child.chmod(0o755)
    return str(child)


def test_software_is_probed_once_and_the_result_cached(
    probe: EncoderProbe, settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert probe.probe(SOFTWARE, None) == WORKS
    monkeypatch.setattr(probe_module.sys, "executable", "/bin/false")
    later = EncoderProbe(settings_file, ProbeCache(tmp_path))
    assert later.probe(SOFTWARE, None) == WORKS


def test_without_a_free_session_nothing_is_probed_or_cached(
    probe: EncoderProbe, settings_file: Path
):
    settings = Settings.model_validate_json(settings_file.read_bytes())
    lease = open_pools(settings).cpu.take(worker="omega-0", purpose="test")
    assert isinstance(lease, Lease)
    result = probe.probe(SOFTWARE, None)
    assert isinstance(result, NotProbed)
    assert "omega-0" in result.reason
    lease.release()
    assert probe.probe(SOFTWARE, None) == WORKS


@pytest.mark.parametrize(
    ("script", "timeout_s", "expected"),
    [
        ("kill -SEGV $$", PROBE_TIMEOUT_S, "crashed with signal 11"),
        ("exec sleep 60", 0.5, "hung"),
        ("echo rubbish; echo 'no such driver' >&2", PROBE_TIMEOUT_S, "no such driver"),
    ],
)
def test_a_driver_that_crashes_hangs_or_prints_rubbish_takes_down_only_the_child(
    script: str,
    timeout_s: float,
    expected: str,
    probe: EncoderProbe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(probe_module.sys, "executable", child_running(script, tmp_path))
    monkeypatch.setattr(probe_module, "PROBE_TIMEOUT_S", timeout_s)
    result = probe.probe(SOFTWARE, None)
    assert isinstance(result, ProbeResult)
    assert not result.works
    assert expected in result.reason


@pytest.mark.parametrize("signal_name", ["KILL", "TERM"])
def test_a_probe_that_somebody_ended_says_nothing_about_the_encoder(
    signal_name: str, probe: EncoderProbe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        child = child_running(f"kill -{signal_name} $$", tmp_path)
        patched.setattr(probe_module.sys, "executable", child)
        result = probe.probe(SOFTWARE, None)
    assert isinstance(result, NotProbed)
    assert f"SIG{signal_name}" in result.reason
    assert probe.probe(SOFTWARE, None) == WORKS


@pytest.mark.parametrize("passed_s", [QUARANTINE_S + 1, -3600])
def test_a_quarantine_ends_even_if_the_clock_is_set_back(
    passed_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = ProbeCache(tmp_path)
    crashed = ProbeResult(works=False, reason="crashed")
    cache.store(SOFTWARE, None, crashed, quarantined=True)
    assert cache.cached(SOFTWARE, None) == crashed
    later = time.time() + passed_s
    monkeypatch.setattr("metabonk.encoding.probe.time.time", lambda: later)
    assert cache.cached(SOFTWARE, None) is None


def test_a_probe_that_finds_no_memory_teaches_no_limit(tmp_path: Path):
    driver = SimulatedDriver(tmp_path / "driver", memory_free=50)
    settings = Settings.model_validate({"nvenc": {"slot_dir": tmp_path / "slots"}})
    write_settings(settings, tmp_path / "settings.json")
    child = subprocess.run(
        [
            *(sys.executable, "-m", "metabonk.encoding.probe_child", "--parent", str(os.getpid())),
            *("--settings", tmp_path / "settings.json", "--backend", "av:h264_nvenc", "--gpu", "0"),
        ],
        env={**os.environ, **driver.environment},
        capture_output=True,
        check=True,
    )
    report = ProbeReport.model_validate_json(child.stdout)
    assert report.outcome is ProbeOutcome.NOT_PROBED
    assert "out of memory (10)" in report.reason
    assert "only 50 MB of the GPU's memory are free" in report.reason
    assert not (tmp_path / "slots" / "learned-limits.json").exists()
