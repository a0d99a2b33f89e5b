"""``metabonk inference-server``: decide for the workers of a GPU; started by ``metabonk start``."""

import argparse

from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.inference_server import process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the fleet that it belongs to, and its number in it."""
    add_child_arguments(parser)
    parser.add_argument("--number", type=int, required=True, help="of the server, from 0")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    settings = setup_child(f"inference-{arguments.number}", arguments)
    process.run(settings, arguments.number)
    return 0
