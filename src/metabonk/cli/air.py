"""``metabonk air``: put the program on air; started by ``metabonk start``."""

import argparse

from metabonk.air import process
from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.messages.air import AIR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the fleet or hub that it belongs to."""
    add_child_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Send until SIGTERM."""
    process.run(setup_child(AIR, arguments))
    return 0
