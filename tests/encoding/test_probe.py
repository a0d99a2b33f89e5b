"""Proving encoders for real, in a child process."""

import time
from pathlib import Path

import pytest

from metabonk.encoding import probe
from metabonk.encoding.ladder import RUNGS, ProbeResult
from metabonk.encoding.probe import QUARANTINE_S, EncoderProbe, NotProbed, ProbeCache
from metabonk.encoding.sessions import Lease, open_pools
from metabonk.settings import Settings, write_settings

SOFTWARE = next(rung for rung in RUNGS if rung.backend == "av:libx264")


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    settings = Settings.model_validate(
        {"paths": {"runtime": tmp_path / "runtime"}, "cpu": {"max_sessions": 1}}
    )
    file = tmp_path / "settings.json"
    write_settings(settings, file)
    return file


def test_software_is_proven_once_and_then_known(
    settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert EncoderProbe(settings_file, ProbeCache(tmp_path)).prove(SOFTWARE, None) == ProbeResult(
        works=True
    )
    monkeypatch.setattr(probe.sys, "executable", "/bin/false")
    assert EncoderProbe(settings_file, ProbeCache(tmp_path)).prove(SOFTWARE, None) == ProbeResult(
        works=True
    )


def test_without_a_free_session_nothing_is_tried_and_nothing_is_kept(
    settings_file: Path, tmp_path: Path
):
    settings = Settings.model_validate_json(settings_file.read_bytes())
    lease = open_pools(settings).cpu.take(worker="omega-0", purpose="test")
    assert isinstance(lease, Lease)
    prover = EncoderProbe(settings_file, ProbeCache(tmp_path))
    answer = prover.prove(SOFTWARE, None)
    assert isinstance(answer, NotProbed)
    assert "omega-0" in answer.reason
    lease.release()
    assert prover.prove(SOFTWARE, None) == ProbeResult(works=True)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("kill -SEGV $$", "crashed with signal 11"),
        ("sleep 60", "hung"),
        ("echo rubbish; echo 'no such driver' >&2", "no such driver"),
    ],
)
def test_a_driver_that_crashes_hangs_or_babbles_takes_only_the_child_along(
    script: str,
    expected: str,
    settings_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    child = tmp_path / "child"
    child.write_text(f"#!/bin/sh\n{script}\n")
    child.chmod(0o755)
    monkeypatch.setattr(probe.sys, "executable", str(child))
    monkeypatch.setattr(probe, "PROOF_TIMEOUT_S", 0.5)
    proof = EncoderProbe(settings_file, ProbeCache(tmp_path)).prove(SOFTWARE, None)
    assert isinstance(proof, ProbeResult)
    assert not proof.works
    assert expected in proof.reason


@pytest.mark.parametrize("number", ["KILL", "TERM"])
def test_a_trial_that_somebody_ended_says_nothing_of_the_encoder(
    number: str, settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    child = tmp_path / "child"
    child.write_text(f"#!/bin/sh\nkill -{number} $$\n")
    child.chmod(0o755)
    prover = EncoderProbe(settings_file, ProbeCache(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(probe.sys, "executable", str(child))
        answer = prover.prove(SOFTWARE, None)
    assert isinstance(answer, NotProbed)
    assert f"SIG{number}" in answer.reason
    assert prover.prove(SOFTWARE, None) == ProbeResult(works=True)


@pytest.mark.parametrize("passed_s", [QUARANTINE_S + 1, -3600])
def test_a_doubtful_result_is_forgotten_in_time_also_where_the_clock_is_set_back(
    passed_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    proofs = ProbeCache(tmp_path)
    crashed = ProbeResult(works=False, reason="crashed")
    proofs.keep(SOFTWARE, None, crashed, quarantined=True)
    assert proofs.known(SOFTWARE, None) == crashed
    later = time.time() + passed_s
    monkeypatch.setattr("metabonk.encoding.probe.time.time", lambda: later)
    assert proofs.known(SOFTWARE, None) is None
