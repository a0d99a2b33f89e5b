"""``metabonk learner``: the learner of a fleet. Started by ``metabonk start``."""

import argparse

from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.learner import process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares of which fleet it is."""
    add_child_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Learns until SIGTERM."""
    settings = setup_child("learner", arguments)
    process.run(settings, arguments.run)
    return 0
