"""What the two kinds of child processes have in common on the command line."""

import argparse
from pathlib import Path

from metabonk.settings import Settings, read_settings
from metabonk.system.process import configure_logging, die_with_parent


def add_child_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what ``metabonk start`` tells every child."""
    parser.add_argument("--settings", type=Path, required=True, help="the effective settings")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--parent", type=int, help="ends with this process (pid)")


def setup_child(name: str, arguments: argparse.Namespace) -> Settings:
    """Logs, ties this process's life to its parent's, and reads the settings.

    Raises:
        MetaBonkError: the parent has gone, or the settings can't be read.
    """
    configure_logging(name)
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    return read_settings(arguments.settings)
