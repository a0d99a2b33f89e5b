"""Commands that inspect, end or repair, with settings that can't be used."""

import json
from pathlib import Path

import pytest

from metabonk.cli import doctor
from metabonk.cli.inspection import usable_settings
from metabonk.cli.main import main
from metabonk.doctor import browser
from metabonk.settings import Settings
from tests.cli.conftest import Terminal
from tests.support.serving import free_ports
from tests.support.waiting import GENEROUS_S

MISTAKES = {
    "unknown": ("[stream]\nfsp = 30", {}, "there is no setting stream.fsp"),
    "invalid": ("workers = 'many'", {}, "workers is 'many'"),
    "not TOML": ("workers 3", {}, "metabonk.toml is not valid TOML"),
    "no section": ("stream = 3", {}, "stream is 3"),
    "renamed": ("[worker]\ngames = 3", {}, "worker.games is now called worker.games_per_worker"),
    "profile": ("", {"STREAM_PROFILE": "nine"}, "stream_profile is 'nine'"),
    "variable": ("", {"CPU_MAX_SESSIONS": "two"}, "cpu.max_sessions (METABONK_CPU_MAX"),
    "renamed variable": ("", {"GO2RTC_BIN": "/bin/x"}, "METABONK_GO2RTC_BIN is now called"),
    "runtime": ("", {"PATHS_RUNTIME": "/dev/null/x"}, "/dev/null/x is not a folder"),
    "slots": ("", {"NVENC_SLOT_DIR": "/dev/null"}, "/dev/null is not a folder"),
}
"""Contents of ``metabonk.toml`` and the environment, and the complaint about them."""

COMMANDS = {
    "stop": ("stop",),
    "status": ("nvenc", "status", "--workers", "1"),
    "cleanup": ("nvenc", "cleanup"),
    "validate": ("validate", "--json"),
}


@pytest.fixture(autouse=True)
def _no_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    ports = free_ports(4)
    for name, port in zip(("ORCHESTRATOR", "PAGE", "LEARNER", "WORKER"), ports, strict=True):
        monkeypatch.setenv(f"METABONK_PORTS_{name}", str(port))


def make(mistake: str, monkeypatch: pytest.MonkeyPatch) -> str:
    text, variables, sentence = MISTAKES[mistake]
    Path("metabonk.toml").write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(f"METABONK_{name}", value)
    return sentence


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_setting_that_cannot_be_used_is_left_out_and_named(
    mistake: str, monkeypatch: pytest.MonkeyPatch
):
    sentence = make(mistake, monkeypatch)
    settings, said = usable_settings()
    assert settings.workers == Settings().workers
    assert settings.ports.worker != Settings().ports.worker, "what can be used still counts"
    assert len(said) == 1
    assert said[0].startswith(sentence)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_end_inspect_or_repair_work_and_warn_in_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    make("invalid", monkeypatch)
    assert main(COMMANDS[command]) == (1 if command == "validate" else 0)
    output, errors = capsys.readouterr()
    (warning,) = errors.splitlines()
    assert warning.startswith("warning: workers is 'many': ")
    if command == "validate":
        assert len(json.loads(output)["checks"]) == 5


def test_the_doctor_reports_the_mistake_and_examines_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    make("unknown", monkeypatch)
    monkeypatch.setattr(browser, "BROWSERS", ())
    monkeypatch.setattr(doctor, "encoder_findings", lambda settings, pools: iter(()))
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "✗ there is no setting stream.fsp; did you mean stream.fps?" in lines
    assert "✓ all ports are free" in lines
    assert lines[-1] == "fix what is marked ✗"


def test_a_running_fleet_is_found_by_its_record_and_stopped(terminal: Terminal):
    process = terminal.start("OBEDIENT", "--workers", "3")
    terminal.ready()
    (terminal.folder / "metabonk.toml").write_text("workers = 'many'\n[ports]\nworker = 0")
    for name in ("ORCHESTRATOR", "WORKER"):
        del terminal.environment[f"METABONK_PORTS_{name}"]
    status = terminal.run("nvenc", "status")
    assert f"- worker=2 port={terminal.ports[3] + 2} " in status.stdout
    assert status.stderr.count("warning: ") == 2
    stopped = terminal.run("stop")
    assert stopped.stdout.startswith(f"stopped the fleet (pid {process.pid}")
    assert process.wait(GENEROUS_S) == 0
