"""``metabonk worker``: one worker of a fleet. Started by ``metabonk start``."""

import argparse

from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.messages import Counters
from metabonk.worker import process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares which worker it is, and of which fleet."""
    add_child_arguments(parser)
    parser.add_argument("--index", type=int, required=True, help="of the worker, from 0")
    parser.add_argument(
        "--counted",
        type=Counters.parse,
        default=Counters(),
        metavar="STEP,EPISODE",
        help="counters of its earlier processes in this run (default: 0,0)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Plays until SIGTERM."""
    settings = setup_child(f"omega-{arguments.index}", arguments)
    process.run(
        settings, arguments.settings, arguments.index, arguments.run, arguments.counted
    )
    return 0
