"""``metabonk fork-server``: forks the processes of a fleet. Started by ``metabonk start``."""

import argparse
import gc
import importlib
import runpy
import socket
import sys

import numpy as np

from metabonk.system.fork_server import serve
from metabonk.system.process import die_with_parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what it imports, and for whom."""
    parser.add_argument("--parent", type=int, required=True, help="ends with this process (pid)")
    parser.add_argument("--preload", nargs="+", default=[], metavar="MODULE", help="imported first")
    parser.add_argument("--title-room", help="keeps room for the command lines of children")


def run(arguments: argparse.Namespace) -> int:
    """Serve until the parent ends; in each forked child, run its module.

    Nothing before the fork may start a thread, run a parallel region of OpenMP or initialize CUDA:
    none of them survives it.
    """
    die_with_parent(arguments.parent)
    gc.disable()  # A tenth of the time of importing PyTorch.
    for module in arguments.preload:
        importlib.import_module(module)
    # What is collected never moves again: memory shared with the children stays shared.
    gc.collect()
    gc.freeze()
    gc.enable()
    command = serve(socket.socket(fileno=sys.stdin.fileno()))
    if command is None:
        return 0
    # Environments that draw from NumPy's global generator must not all draw the same.
    np.random.seed()
    _, _, module, *arguments_of_child = command
    sys.argv[1:] = arguments_of_child
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0
