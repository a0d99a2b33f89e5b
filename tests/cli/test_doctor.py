"""``metabonk doctor`` on this machine, with real probes."""

import contextlib
import socket
from pathlib import Path

import pytest

from metabonk.cli import doctor
from metabonk.cli.main import main
from metabonk.doctor import browser
from metabonk.orchestrator.lock import FleetLock
from metabonk.runs.layout import save_settings
from metabonk.settings import commands, load_settings
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system import shared_memory
from tests.support.desktop import small_game
from tests.support.serving import free_ports


@pytest.fixture(autouse=True)
def _isolated_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, port in zip(
        ("ORCHESTRATOR", "PAGE", "LEARNER", "WORKER"), free_ports(4), strict=True
    ):
        monkeypatch.setenv(f"METABONK_PORTS_{name}", str(port))
    monkeypatch.setenv("METABONK_WORKERS", "1")
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path / "runtime"))
    monkeypatch.setenv("METABONK_STREAM_ENGINE", "av")
    monkeypatch.setattr(browser, "BROWSERS", ())
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").touch()
    monkeypatch.setattr(doctor, "PAGE_DIR", tmp_path / "page")


def test_a_capable_machine_passes(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert "✓ encoder av:libx264: works" in output
    assert "– encoder gst:appsrc:x264enc: stream.engine is 'av'" in output
    assert "✓ all ports are free" in output
    assert "✗" not in output
    assert output.splitlines()[-1] == "this machine can run a fleet"


def test_a_port_in_use_is_reported_but_does_not_fail(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        monkeypatch.setenv("METABONK_PORTS_LEARNER", str(holder.getsockname()[1]))
        assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert "which the learner needs, is in use" in output
    assert "→ 'python scripts/stop.py --all'" in output


def test_a_running_fleet_is_no_other_program_in_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    settings = load_settings()
    page = f"http://127.0.0.1:{settings.ports.page}"
    folder = runtime_dir(settings.paths.runtime)
    with (
        socket.socket() as served,
        contextlib.closing(FleetLock(folder, settings.ports.orchestrator, page=page)) as lock,
    ):
        lock.set_settings_path(save_settings(settings, tmp_path))
        served.bind(("127.0.0.1", settings.ports.page))
        served.listen()
        assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert f"✓ a fleet is running here, with its page at {page}" in output
    assert "in use" not in output


def test_missing_parts_are_reported_with_the_command_that_adds_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(doctor, "PAGE_DIR", tmp_path / "nowhere")
    monkeypatch.setattr(shared_memory, "MIN_TOTAL", 1 << 60)
    monkeypatch.setattr(commands, "FLEET_MODULES", ("torch", "nowhere"))
    assert main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "✗ a fleet needs nowhere, which this installation lacks\n    → run ./start" in output
    assert "✗ the web page is not built\n    → run './start' to build it" in output
    assert "--shm-size=1g" in output
    assert output.splitlines()[-1] == "fix what is marked ✗"


def test_what_a_desktop_game_lacks_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    entry = small_game(tmp_path, replace=('needs = ["love"]', 'needs = ["no-such-program"]'))
    assert main(["doctor", "--game", entry.game_id]) == 1
    output = capsys.readouterr().out
    assert "game.toml needs no-such-program, which is missing" in output
    assert "→ run 'sudo apt install love util-linux xvfb'" in output
    assert main(["doctor", "--game", "desktop:nope"]) == 1
    assert "✗ unknown game 'desktop:nope'" in capsys.readouterr().out
