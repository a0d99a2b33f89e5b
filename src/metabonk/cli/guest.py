"""``metabonk guest``: show an environment of another trainer; started by a hub or a fleet."""

import argparse
from pathlib import Path

from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.guest import process
from metabonk.messages.workers import WorkerKind
from metabonk.worker.identity import Identity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the hub or fleet that it belongs to, and what it shows."""
    add_child_arguments(parser)
    parser.add_argument("--index", type=int, required=True, help="that no other worker has")
    parser.add_argument("--name", required=True, help="on the page and in the logs")
    parser.add_argument("--port", type=int, required=True, help="of its HTTP server")
    parser.add_argument("--ring", type=Path, required=True, help="of the trainer")


def run(arguments: argparse.Namespace) -> int:
    """Show it until SIGTERM, or until its trainer is gone."""
    settings = setup_child(arguments.name, arguments)
    identity = Identity(arguments.name, arguments.index, arguments.port, WorkerKind.GUEST)
    owner = arguments.parent or 0
    process.run(settings, arguments.settings, identity, arguments.ring, owner)
    return 0
