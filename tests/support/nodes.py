"""Agents of nodes, each in its own folder, for a head under test."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from metabonk.system.process import die_with_parent
from tests.support.fleet import ROOT, FleetUnderTest
from tests.support.machine_speed import SLOWNESS
from tests.support.processes import kill_tree
from tests.support.serving import free_ports


@dataclass
class NodeUnderTest:
    """A running agent.

    Attributes:
        process: of ``metabonk join``.
        port: of the node.
        output: file with what it prints.
        environment: variables of the process.
    """

    process: subprocess.Popen[str]
    port: int
    output: Path
    environment: dict[str, str]

    def stop(self) -> str:
        """Stop it by ``metabonk stop``; return what that prints."""
        return subprocess.run(
            [sys.executable, "-m", "metabonk.cli.main", "stop", "--all"],
            cwd=self.output.parent,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60 * SLOWNESS,
            check=True,
        ).stdout

    def tree(self) -> list[psutil.Process]:
        """Return the agent's process and all its descendants."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]


def token_file(head: FleetUnderTest) -> Path:
    """Return the file with the token that a head has made."""
    return head.folder / "runs" / "node-token"


@contextlib.contextmanager
def run_node(
    folder: Path,
    head: FleetUnderTest,
    name: str,
    *,
    environment: Mapping[str, str] | None = None,
    token: Path | None = None,
    url: str | None = None,
    inside: Sequence[str] = (),
    gameless: bool = True,
) -> Iterator[NodeUnderTest]:
    """Run ``metabonk join`` for the block, on ports that nothing else uses.

    Args:
        folder: working directory, made if missing.
        head: of the fleet.
        name: of the node.
        environment: further variables.
        token: file with the token.
        url: of the head, if not its page.
        inside: command that runs another one, as in a network namespace.
        gameless: its workers play nothing.
    """
    folder.mkdir(exist_ok=True)
    ports = free_ports(3)
    variables = {
        **head.environment,
        "METABONK_PORTS_ORCHESTRATOR": str(ports[0]),
        "METABONK_PORTS_LEARNER": str(ports[1]),
        "METABONK_PATHS_RUNTIME": str(folder / "runtime"),
        **(environment or {}),
    }
    module = "tests.support.gameless_fleet" if gameless else "metabonk.cli.main"
    command = [module, "join", url or head.page, "--name", name]
    command += ["--token-file", str(token or token_file(head)), "--port", str(ports[2])]
    output = folder / "terminal.txt"
    with output.open("a") as terminal:
        process = subprocess.Popen(
            [*inside, sys.executable, "-m", *command],
            cwd=folder,
            env={**variables, "PYTHONPATH": str(ROOT)},
            stdout=terminal,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    try:
        yield NodeUnderTest(process, ports[2], output, variables)
    finally:
        kill_tree(process)
