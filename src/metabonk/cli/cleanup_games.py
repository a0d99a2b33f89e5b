"""``metabonk sweep``: removes what killed games left behind, such as shared memory."""

import argparse
import sys

from metabonk.games import list_orphans, sweep_engines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares little: what has an owner that lives is never touched."""
    parser.add_argument("--dry-run", action="store_true", help="only say what there is")


def run(arguments: argparse.Namespace) -> int:
    """Sweeps, and says what it removed."""
    for line in list_orphans() if arguments.dry_run else sweep_engines():
        sys.stdout.write(f"{line}\n")
    return 0
