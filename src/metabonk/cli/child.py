"""Command-line arguments and set-up that workers and the learner share."""

import argparse
from pathlib import Path

from metabonk.settings import Settings, read_settings
from metabonk.system.process import configure_logging, die_with_parent


def add_child_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that ``metabonk start`` gives every child."""
    parser.add_argument("--settings", type=Path, required=True, help="the effective settings")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--parent", type=int, help="process that it ends with (pid)")


def setup_child(name: str, arguments: argparse.Namespace) -> Settings:
    """Configure logging, tie the process's life to its parent's, and read the settings.

    Args:
        name: of the process, for its log.
        arguments: of ``add_child_arguments``.

    Raises:
        MetaBonkError: the parent has ended, or the settings can't be read.
    """
    configure_logging(name)
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    return read_settings(arguments.settings)
