"""A checkout in which ``./start`` has run before, a terminal in it, and its fleet.

Nothing is installed: ``.venv`` links to this environment and has the stamp that
``scripts/bootstrap.py`` writes. So commands run as documented, on the default ports.
"""

import importlib.util
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from metabonk.messages.workers import StreamState, WorkerStatus
from metabonk.settings import Settings
from tests.support import http
from tests.support.machine_speed import SLOWNESS
from tests.support.processes import kill_tree

ROOT = Path(__file__).parents[2]
COPIED = (
    "start",
    "scripts",
    "docs",
    "deploy",
    "pyproject.toml",
    "constraints.txt",
    "metabonk.example.toml",
    "validate_deployment.py",
)
TIMEOUT_S = 120.0 * SLOWNESS


class Outcome(NamedTuple):
    """Outcome of a command.

    Attributes:
        code: exit code; None if it was killed.
        text: its output.
    """

    code: int | None
    text: str


@dataclass
class Terminal:
    """A terminal in the checkout's folder.

    Attributes:
        folder: of the checkout.
        environment: of commands.
        running: processes of ``begin``.
    """

    folder: Path
    environment: dict[str, str]
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, command: str) -> Outcome:
        """Run a command and wait for it."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Outcome(done.returncode, done.stdout)

    def watch(self, command: str, seen: Callable[[str], bool]) -> Outcome:
        """Run an endless command on a pseudo-terminal until ``seen`` is true of its output."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**self.environment, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        text = b""
        deadline = time.monotonic() + TIMEOUT_S
        try:
            while not seen(text.decode(errors="replace")) and time.monotonic() < deadline:
                if select.select([ours], [], [], 0.5)[0]:
                    text += os.read(ours, 65_536)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(ours)
        return Outcome(None, text.decode(errors="replace"))

    def begin(self, command: str) -> Path:
        """Start a command in the background; return the file with its output."""
        output = self.folder / f"terminal-{len(self.running)}.txt"
        with output.open("w") as file:
            self.running.append(
                subprocess.Popen(
                    ["bash", "-c", command],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            )
        return output

    def close(self) -> None:
        """Kill the commands that still run."""
        for process in self.running:
            kill_tree(process)


def checkout(folder: Path, variables: Mapping[str, str]) -> Terminal:
    """Make a checkout.

    Args:
        folder: empty.
        variables: additional environment variables.
    """
    for name in COPIED:
        _copy(ROOT / name, folder / name)
    bootstrap = _load(folder / "scripts" / "bootstrap.py")
    for part in bootstrap.WEB_PARTS:
        _copy(ROOT / "web" / part, folder / "web" / part)
    (folder / "src").symlink_to(ROOT / "src")
    venv = folder / ".venv"
    venv.mkdir()
    real = Path(sys.prefix)
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(real / name)
    bootstrap._write_stamp(bootstrap._digest(), "")
    (folder / "session").mkdir(mode=0o700)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("METABONK_")}
    path = os.pathsep.join([str(venv / "bin"), str(folder / "bin"), os.environ["PATH"]])
    environment = {
        **kept,
        "PATH": path,
        "PYTHONPATH": str(ROOT / "src"),
        "XDG_RUNTIME_DIR": str(folder / "session"),
        **variables,
    }
    return Terminal(folder, environment)


def require_default_ports(workers: int) -> None:
    """Skip the test if a default port is in use; the documented commands name them."""
    ports = Settings().ports
    wanted: Iterable[int] = (
        *(ports.page, ports.orchestrator, ports.learner),
        *(ports.go2rtc, ports.go2rtc_rtsp, ports.go2rtc_media),
        *range(ports.worker, ports.worker + workers),
    )
    for port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"port {port} is in use; 'ss -ltnp | grep :{port}' shows by what")


def statuses() -> dict[str, WorkerStatus]:
    """Return every worker's status, by name, from the orchestrator on the default port."""
    answer = http.get("http://127.0.0.1:8040/workers").raise_for_status().json()
    return {name: WorkerStatus.model_validate(status) for name, status in answer.items()}


def live() -> list[str]:
    """Return the names of live workers."""
    found = statuses().items()
    return [name for name, status in found if status.stream_state is StreamState.LIVE]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap_of_checkout", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
