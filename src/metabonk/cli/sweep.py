"""``metabonk sweep``: removes what killed games left behind, such as shared memory."""

import argparse
import sys

from metabonk.games import sweep_engines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares nothing: what has an owner that lives is never touched."""


def run(arguments: argparse.Namespace) -> int:
    """Sweeps, and says what it removed."""
    for removed in sweep_engines():
        sys.stdout.write(f"{removed}\n")
    return 0
