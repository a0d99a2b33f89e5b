"""``metabonk worker``: run one worker of a fleet; started by ``metabonk start``."""

import argparse

from metabonk.cli.child import add_child_arguments, setup_child
from metabonk.messages.workers import Counters, instance_id
from metabonk.worker import process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the fleet that it belongs to, and its index and counters."""
    add_child_arguments(parser)
    parser.add_argument("--index", type=int, required=True, help="of the worker, from 0")
    parser.add_argument(
        "--inference", type=int, metavar="NUMBER", help="of the inference server of its GPU"
    )
    parser.add_argument(
        "--counted",
        type=Counters.parse,
        default=Counters(),
        metavar="STEP,EPISODE",
        help="counters of its earlier processes in this run (default: 0,0)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Play until SIGTERM."""
    settings = setup_child(instance_id(arguments.index), arguments)
    process.run(
        settings,
        arguments.settings,
        arguments.index,
        arguments.run,
        arguments.counted,
        inference=arguments.inference,
    )
    return 0
