"""``metabonk program``: one stream that follows the director; started by ``metabonk start``."""

import argparse

from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.messages.program import PROGRAM
from metabonk.program import process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the fleet or hub that it belongs to, and its port."""
    add_child_arguments(parser)
    parser.add_argument("--port", type=int, required=True, help="of its HTTP server")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    settings = setup_child(PROGRAM, arguments)
    process.run(settings, arguments.port)
    return 0
