"""The stream of a worker, whatever draws its frames."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from metabonk.encoding.sessions import open_pools
from metabonk.messages.workers import DesiredState, StreamState
from metabonk.settings import Settings, write_settings
from tests.support import http
from tests.support.orchestrator import Orchestrator
from tests.support.serving import free_ports
from tests.support.waiting import until

START_S = 60.0
"""The worker is a process that has to start, and so is each probe of an encoder."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    orchestrator, worker = free_ports(2)
    return Settings.model_validate(
        {
            "ports": {"orchestrator": orchestrator, "worker": worker},
            "paths": {"runtime": str(tmp_path / "runtime")},
            "stream": {"width": 320, "height": 180, "fps": 30, "engine": "av", "adaptive": False},
        }
    )


@pytest.fixture
def orchestrator(settings: Settings) -> Iterator[Orchestrator]:
    with Orchestrator(settings.ports.orchestrator) as serving:
        yield serving


@pytest.fixture
def settings_file(settings: Settings, tmp_path: Path) -> Path:
    file = tmp_path / "settings-play.json"
    write_settings(settings, file)
    return file


@contextmanager
def gameless_worker(settings_file: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.support.gameless_worker", "--index", "0"]
    command += ["--settings", str(settings_file), "--run", str(settings_file.parent)]
    with settings_file.with_name("omega-0.log").open("wb") as log:
        process = subprocess.Popen([*command, *arguments], stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(START_S) == 0


def slot_holders(settings: Settings) -> list[str]:
    # Without those whose slots are not in the folder.
    return [holder.worker for holder in open_pools(settings).cpu.written_holders()]


def test_it_imports_neither_pytorch_nor_a_game():
    code = (
        "import sys, tests.support.gameless_worker, metabonk.worker.stream;"
        "print([name for name in ('torch', 'vizdoom', 'gymnasium') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_source_without_a_game_is_shown_reported_and_stopped(
    orchestrator: Orchestrator, settings: Settings, settings_file: Path
):
    url = f"http://127.0.0.1:{settings.ports.worker}"
    with gameless_worker(settings_file, "--counted", "1000,7"):
        until("a heartbeat", lambda: orchestrator.heartbeats, START_S)
        until("it steps", lambda: orchestrator.status.steps_per_s > 50, START_S)
        assert orchestrator.status.step > 1000
        assert orchestrator.status.stream_state is StreamState.STANDBY
        assert orchestrator.status.pixel_src_width == 256, "small, since nobody sees it"
        until("a snapshot", lambda: http.get(f"{url}/snapshot.jpg").status_code == httpx.codes.OK)
        orchestrator.desired = DesiredState.LIVE
        until("it is live", lambda: orchestrator.status.stream_state is StreamState.LIVE, START_S)
        until("large frames", lambda: orchestrator.status.pixel_src_width == 320)
        until("paced frames", lambda: 25 < orchestrator.status.stream_fps < 35, START_S)
        assert orchestrator.status.stream_backend == "av:libx264"
        with http.stream("GET", f"{url}/stream.mp4") as answer:
            assert b"ftyp" in next(answer.iter_bytes())
        runtime = settings.paths.runtime
        assert runtime is not None
        # At once: while its files are removed, the worker may make new ones.
        shutil.rmtree(runtime.rename(runtime.with_name("removed")))
        until("its session is held anew", lambda: slot_holders(settings) == ["omega-0"])
        assert orchestrator.status.stream_state is StreamState.LIVE
        orchestrator.desired = DesiredState.STANDBY
        until("standby", lambda: orchestrator.status.stream_state is StreamState.STANDBY)
        until("small frames", lambda: orchestrator.status.pixel_src_width == 256)
    episodes = orchestrator.episodes
    assert [each.episode for each in episodes] == list(range(8, 8 + len(episodes)))
    log = settings_file.with_name("omega-0.log").read_text()
    assert "Acquired CPU session" in log and "Released CPU session" in log
    assert "stops after" in log
