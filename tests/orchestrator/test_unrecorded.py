"""Fleets without a record, found by their port."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metabonk.orchestrator.unrecorded import unrecorded_fleets
from tests.support.serving import free_port, free_ports

# Listens, opens its record, starts a child in a session of its own, and prints that child's pid.
PROGRAM = """
import socket, subprocess, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
record = open(sys.argv[2], "w")
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
child.wait()
"""


@contextmanager
def listening(port: int, record: Path, *arguments: str) -> Iterator[tuple[int, int]]:
    """Run a process that listens and looks like ``arguments``; yield its pid and its child's."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port), record, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        yield process.pid, int(process.stdout.readline())
        process.communicate()


def found(
    port: int, folder: Path, *, everywhere: bool = False, known: set[int] | None = None
) -> dict[int, set[int]]:
    """Return the pids of the fleets that are found, each with its children's."""
    records = unrecorded_fleets(port, folders=[folder], everywhere=everywhere, known=known or set())
    return {
        record.process.pid: {child.pid for child in record.children.values()} for record in records
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("metabonk.cli.main", "start"),
        ("/x/bin/metabonk", "start"),
        ("metabonk.cli.main", "hub"),
        ("/x/bin/metabonk", "watch"),
    ],
)
def test_an_orchestrator_is_found_by_its_port_though_it_answers_nothing(
    arguments: tuple[str, ...], tmp_path: Path
):
    (port, other), record = free_ports(2), tmp_path / "fleet-1.lock"
    with listening(port, record, *arguments) as (pid, child):
        assert found(port, tmp_path) == {pid: {child}}
        assert found(port, tmp_path, known={pid}) == {}
        assert found(other, tmp_path, everywhere=True) == {}, "it has a record"
        record.unlink()
        assert found(other, tmp_path) == {}
        assert found(other, tmp_path / "other", everywhere=True) == {}
        assert found(other, tmp_path, everywhere=True) == {pid: {child}}


def test_another_program_on_the_port_is_left_alone(tmp_path: Path):
    port, record = free_port(), tmp_path / "fleet-1.lock"
    with listening(port, record, "metabonk", "restart"):
        assert found(port, tmp_path, everywhere=True) == {}
