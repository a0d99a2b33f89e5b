"""``metabonk watch`` and the hub, up to where they serve; ``tests/integration`` has the rest."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metabonk.broadcast.meeting import START_LOG, STARTING, meeting_folder
from metabonk.cli import hub as hub_command
from metabonk.cli import serving
from metabonk.cli import start as start_command
from metabonk.cli import watch as watch_command
from metabonk.cli.main import main
from metabonk.cli.terminal import Terminal
from metabonk.orchestrator import hub
from metabonk.orchestrator.guests.election import Election
from metabonk.settings import Settings
from metabonk.system.file_lock import is_locked, try_lock
from tests.support.serving import free_ports


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    page, orchestrator = free_ports(2, spare=4)
    monkeypatch.setenv("METABONK_PATHS_RUNTIME", str(tmp_path / "runtime"))
    monkeypatch.setenv("METABONK_PATHS_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("METABONK_PORTS_PAGE", str(page))
    monkeypatch.setenv("METABONK_PORTS_ORCHESTRATOR", str(orchestrator))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Replace the hub by a note of what it is given."""
    given: list[dict[str, object]] = []

    def run(
        settings: Settings,
        lock: object,
        display: object,
        stop: object,
        election: Election,
        **options: object,
    ) -> None:
        given.append({"settings": settings, "won": election.is_won, **options})
        if ready := options.get("on_ready"):
            assert callable(ready)
            ready()

    monkeypatch.setattr(hub, "run", run)
    for command in (watch_command, hub_command):
        monkeypatch.setattr(command, "log_to", lambda folder: folder.mkdir())
    monkeypatch.setattr(hub_command, "lower_priority", lambda nice: None)
    return given


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what is written to the terminal of ``metabonk watch``."""
    written = io.StringIO()
    monkeypatch.setattr(serving, "open_terminal", lambda stream: Terminal(written))
    return written


@pytest.fixture
def other(folder: Path) -> Iterator[Election]:
    with contextlib.closing(Election("fleet")) as election:
        assert election.run()
        election.announce("http://localhost:1234")
        yield election


def test_watch_serves_at_the_port_that_is_asked_for(
    folder: Path, served: list[dict[str, object]], terminal: io.StringIO
):
    (port,) = free_ports(1)
    assert main(["watch", "--port", str(port)]) == 0
    (given,) = served
    settings = given["settings"]
    assert isinstance(settings, Settings)
    assert (settings.ports.page, settings.workers, given["won"]) == (port, 0, True)
    assert given["page"] == f"http://localhost:{port}"
    assert given.get("idle_s") is None, "it stays until it is interrupted"
    assert terminal.getvalue().endswith("stopped\n")


@pytest.mark.usefixtures("terminal")
def test_watch_beyond_loopback_needs_a_token(folder: Path, served: list[dict[str, object]]):
    assert main(["watch", "--host", "0.0.0.0"]) == 0
    (given,) = served
    assert given["token"]
    assert str(given["page"]).endswith(f"/?token={given['token']}")


@pytest.mark.usefixtures("other")
def test_watch_says_where_a_fleet_shows_it_already(
    served: list[dict[str, object]], terminal: io.StringIO
):
    assert main(["watch"]) == 1
    assert served == []
    assert terminal.getvalue().endswith(
        "a fleet shows what is broadcast already at http://localhost:1234\n"
    )


@pytest.mark.usefixtures("folder")
def test_a_fleet_without_workers_is_refused_with_a_hint():
    command = [sys.executable, "-m", "metabonk.cli.main", "start", "--workers", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "metabonk watch' shows environments of other trainers" in done.stderr


@pytest.mark.usefixtures("other")
def test_a_fleet_says_where_guests_are_shown_instead():
    with contextlib.closing(Election("fleet")) as election:
        (line,) = start_command.take_over(election)
    assert line.startswith("environments of other trainers are shown at http://localhost:1234,")


def test_a_hub_ends_its_start_when_its_page_is_served(
    folder: Path, served: list[dict[str, object]]
):
    meeting = meeting_folder()
    starting = try_lock(meeting / STARTING)
    assert starting is not None
    (meeting / START_LOG).write_text("")
    reader, terminal = os.pipe()
    assert main(["hub", "--starting", str(starting), "--tell", str(terminal)]) == 0
    with os.fdopen(reader) as told:
        assert told.read() == f"metabonk: watch at {served[0]['page']}\n"
    (given,) = served
    assert given["idle_s"] == 30.0
    assert list(meeting.iterdir()) == []
    assert Path.cwd() == folder / "logs", "the trainer's folder is left alone"
    with pytest.raises(OSError):
        os.close(starting)


@pytest.mark.usefixtures("other")
def test_a_hub_leaves_where_another_process_shows_it(
    served: list[dict[str, object]],
):
    meeting = meeting_folder()
    starting = try_lock(meeting / STARTING)
    reader, terminal = os.pipe()
    assert main(["hub", "--starting", str(starting), "--tell", str(terminal)]) == 0
    with os.fdopen(reader) as told:
        assert told.read() == "metabonk: watch at http://localhost:1234\n"
    assert served == []
    assert not is_locked(meeting / STARTING)
