"""``metabonk go2rtc``: become go2rtc, tied to its fleet; started by ``metabonk start``."""

import argparse
import os
from pathlib import Path

from metabonk.errors import StartError
from metabonk.system.process import die_with_parent

PRIVATE = 0o077


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the program and the fleet that it belongs to."""
    parser.add_argument("--parent", type=int, required=True, help="ends with this process (pid)")
    parser.add_argument("--program", type=Path, required=True, help="go2rtc's executable")
    parser.add_argument("--config", required=True, help="its configuration, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Replace this process by go2rtc, which keeps its parent-death signal.

    Raises:
        StartError: the program can't be started.
    """
    die_with_parent(arguments.parent)
    program = str(arguments.program)
    # Whoever may write to its socket may control it (unix(7)).
    os.umask(PRIVATE)
    try:
        os.execv(program, [program, "-config", arguments.config])
    except OSError as error:
        raise StartError(f"{program} can't be started: {error.strerror}") from None
