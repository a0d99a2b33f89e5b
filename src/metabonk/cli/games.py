"""``metabonk games``: games of a worker in a process of their own; started by the worker."""

import argparse
from multiprocessing.connection import Connection

from metabonk.games.remote_host import GameHost
from metabonk.system.process import configure_logging, die_with_parent, lower_priority
from metabonk.system.process_ids import PARENT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare whom the games are for."""
    parser.add_argument(PARENT, type=int, required=True, help="process that it ends with (pid)")
    parser.add_argument("--socket", type=int, required=True, help="descriptor that calls come by")


def run(arguments: argparse.Namespace) -> int:
    """Run games until the worker closes the socket."""
    configure_logging("games")
    die_with_parent(arguments.parent)
    lower_priority()
    GameHost().serve(Connection(arguments.socket))
    return 0
