"""``metabonk cleanup-games``: remove what killed games left behind, such as shared memory."""

import argparse
import sys

from metabonk.games import list_orphans, remove_orphans


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; whatever has a living owner is never touched."""
    parser.add_argument("--dry-run", action="store_true", help="only list what there is")


def run(arguments: argparse.Namespace) -> int:
    """Remove orphans, and print what was removed."""
    for line in list_orphans() if arguments.dry_run else remove_orphans():
        sys.stdout.write(f"{line}\n")
    return 0
