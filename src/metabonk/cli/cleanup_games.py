"""``metabonk cleanup-games``: remove what killed games left behind, such as shared memory."""

import argparse
import sys

from metabonk.desktop import cleanup as desktop
from metabonk.games import list_orphans, remove_orphans


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; whatever has a living owner is never touched."""
    parser.add_argument("--dry-run", action="store_true", help="only list what there is")


def run(arguments: argparse.Namespace) -> int:
    """Remove orphans, and print what was removed."""
    of_doom, of_desktop = (
        (list_orphans, desktop.list_orphans)
        if arguments.dry_run
        else (remove_orphans, desktop.remove_orphans)
    )
    for line in (*of_doom(), *of_desktop()):
        sys.stdout.write(f"{line}\n")
    return 0
