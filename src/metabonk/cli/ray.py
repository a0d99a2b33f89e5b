"""``metabonk ray``: node agents on a Ray cluster; started by ``metabonk start --ray``."""

import argparse

from metabonk.node import ray_launcher
from metabonk.orchestrator.processes.ray_agents import NAME
from metabonk.settings.nodes import node_token
from metabonk.system.process import StopSignal, configure_logging, die_with_parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the cluster, and the head that agents join."""
    parser.add_argument("--address", required=True, help="auto, or ray://HOST:PORT")
    parser.add_argument("--head", required=True, help="address of the fleet's page")
    parser.add_argument("--listen", required=True, help="name under which it answers")
    parser.add_argument("--parent", type=int, required=True, help="ends with this process (pid)")


def run(arguments: argparse.Namespace) -> int:
    """Keep agents running until SIGTERM."""
    configure_logging(NAME)
    die_with_parent(arguments.parent)
    ray_launcher.run(
        arguments.address, arguments.head, node_token(None), arguments.listen, StopSignal()
    )
    return 0
