"""Terminal that runs commands as a user does, in a temporary folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.support.processes import kill_tree
from tests.support.serving import free_ports
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


@dataclass
class Terminal:
    """Folder and environment in which commands run."""

    folder: Path
    environment: dict[str, str]
    ports: list[int]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, kind: str, *arguments: str, stdout: int | None = None) -> subprocess.Popen[str]:
        output = (self.folder / "terminal.txt").open("w") if stdout is None else None
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fleet_of_stand_ins", kind, "start", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output or stdout,
            stderr=subprocess.STDOUT,
            text=True,
            # Under nohup, SIGHUP would be ignored, and a fleet respects that.
            preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
        )
        if output:
            output.close()
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "metabonk.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def ready(self, names: tuple[str, ...] = ("learner", "omega-0", "omega-1")) -> None:
        logs = [self.folder / "logs" / f"{name}.log" for name in names]
        until(
            "the children are ready",
            lambda: all(log.exists() and "ready" in log.read_text() for log in logs),
        )

    @property
    def text(self) -> str:
        return (self.folder / "terminal.txt").read_text()

    def processes(self, process: subprocess.Popen[str]) -> list[psutil.Process]:
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]

    def locks(self) -> list[Path]:
        return list((self.folder / "runtime").glob("*.lock"))


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    go2rtc, media, *ports = free_ports(6, spare=7)
    names = ("ORCHESTRATOR", "PAGE", "LEARNER", "WORKER")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("METABONK_")},
        **{f"METABONK_PORTS_{name}": str(port) for name, port in zip(names, ports, strict=True)},
        "METABONK_PATHS_RUNTIME": str(tmp_path / "runtime"),
        "METABONK_WORKER_SPAWN_STAGGER_S": "0.05",
        "METABONK_PORTS_GO2RTC": str(go2rtc),
        "METABONK_PORTS_GO2RTC_MEDIA": str(media),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
    }
    terminal = Terminal(tmp_path, environment, ports)
    yield terminal
    for process in terminal.started:
        kill_tree(process)
