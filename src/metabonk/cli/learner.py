"""``metabonk learner``: run the learner of a fleet; started by ``metabonk start``."""

import argparse

from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.learner import process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the fleet that it belongs to."""
    add_child_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Learn until SIGTERM."""
    settings = setup_child("learner", arguments)
    process.run(settings, arguments.run)
    return 0
