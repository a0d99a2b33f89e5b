"""Terminal that runs commands as a user does, in a temporary folder."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest

from metabonk.orchestrator.lock import read_record
from tests.support.command_server import Command, CommandServer
from tests.support.machine_speed import SLOWNESS
from tests.support.processes import kill_tree
from tests.support.serving import free_ports
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60.0 * SLOWNESS


@dataclass
class Terminal:
    """Folder and environment in which commands run."""

    folder: Path
    environment: dict[str, str]
    ports: list[int]
    commands: CommandServer
    started: list[Command | psutil.Popen] = field(default_factory=list)

    def start(
        self, kind: str, *arguments: str, stdout: int | None = None
    ) -> Command | psutil.Popen:
        """Start a fleet of stand-ins, with its output in ``terminal.txt`` or ``stdout``."""
        module, words = "tests.support.fleet_of_stand_ins", (kind, "start", *arguments)
        if stdout is None and not self._needs_exec:
            self.started.append(self._fork(module, *words, output=self.folder / "terminal.txt"))
            return self.started[-1]
        output = (self.folder / "terminal.txt").open("w") if stdout is None else None
        process = psutil.Popen(
            [sys.executable, "-m", module, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output or stdout,
            stderr=subprocess.STDOUT,
            # Under nohup, SIGHUP would be ignored, and a fleet respects that.
            preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),
        )
        if output:
            output.close()
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``metabonk <arguments>``."""
        module = "metabonk.cli.main"
        if self._needs_exec:
            return subprocess.run(
                [sys.executable, "-m", module, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        output, errors = self.folder / "stdout.txt", self.folder / "stderr.txt"
        command = self._fork(module, *arguments, output=output, errors=errors)
        try:
            code = command.wait(TIMEOUT_S)
        finally:
            kill_tree(command)
        return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())

    @property
    def _needs_exec(self) -> bool:
        """Whether a variable is read only when a program is loaded."""
        return bool({"LC_ALL", "LD_LIBRARY_PATH"} & self.environment.keys())

    def _fork(
        self, module: str, *arguments: str, output: Path, errors: Path | None = None
    ) -> Command:
        return self.commands.start(
            module,
            *arguments,
            folder=self.folder,
            environment=self.environment,
            output=output,
            errors=errors,
        )

    def ready(self, names: tuple[str, ...] = ("learner", "omega-0", "omega-1")) -> None:
        logs = [self.folder / "logs" / f"{name}.log" for name in names]
        until(
            "the children are ready",
            lambda: all(log.exists() and "ready" in log.read_text() for log in logs),
            TIMEOUT_S,
        )
        until("they are recorded", lambda: self._recorded() >= set(names))

    def address(self) -> str:
        """Return the page's address, once it is shown."""
        shown = until("the address", lambda: re.search(r"^page: (.*)\n", self.text, re.M))
        return shown[1]

    def _recorded(self) -> set[str]:
        records = [record for lock in self.locks() if (record := read_record(lock)) is not None]
        return {name for record in records for name in record.children}

    @property
    def text(self) -> str:
        return (self.folder / "terminal.txt").read_text()

    def processes(self, process: subprocess.Popen[str]) -> list[psutil.Process]:
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]

    def locks(self) -> list[Path]:
        return list(Path(self.environment["METABONK_PATHS_RUNTIME"]).glob("*.lock"))


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandServer]:
    server = CommandServer(tmp_path_factory.mktemp("commands"))
    yield server
    server.close()


@pytest.fixture
def terminal(tmp_path: Path, commands: CommandServer) -> Iterator[Terminal]:
    go2rtc, rtsp, media, *ports = free_ports(7, spare=7)
    names = ("ORCHESTRATOR", "PAGE", "LEARNER", "WORKER")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("METABONK_")},
        **{f"METABONK_PORTS_{name}": str(port) for name, port in zip(names, ports, strict=True)},
        "METABONK_PATHS_RUNTIME": str(tmp_path / "runtime"),
        "METABONK_WORKER_SPAWN_STAGGER_S": "0.05",
        "METABONK_PORTS_GO2RTC": str(go2rtc),
        "METABONK_PORTS_GO2RTC_RTSP": str(rtsp),
        "METABONK_PORTS_GO2RTC_MEDIA": str(media),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
    }
    terminal = Terminal(tmp_path, environment, ports, commands)
    yield terminal
    for process in terminal.started:
        kill_tree(process)
