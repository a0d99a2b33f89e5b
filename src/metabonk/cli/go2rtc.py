"""``metabonk go2rtc``: becomes go2rtc, which ends with its fleet. Started by ``metabonk start``."""

import argparse
import os
from pathlib import Path

from metabonk.errors import StartError
from metabonk.system.process import die_with_parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares which program, and whose."""
    parser.add_argument("--parent", type=int, required=True, help="ends with this process (pid)")
    parser.add_argument("--program", type=Path, required=True, help="go2rtc")
    parser.add_argument("--config", type=Path, required=True, help="its configuration")


def run(arguments: argparse.Namespace) -> int:
    """Replaces this process; the kernel's promise to end it with its parent outlasts that.

    Raises:
        StartError: the program can't be started.
    """
    die_with_parent(arguments.parent)
    program = str(arguments.program)
    try:
        os.execv(program, [program, "-config", str(arguments.config)])
    except OSError as error:
        raise StartError(f"{program} can't be started: {error.strerror}") from None
