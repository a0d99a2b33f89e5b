"""``metabonk export``: write a trained policy to a file that runs without MetaBonk."""

import argparse
import sys
from pathlib import Path

from metabonk.inference.export import check_target, export
from metabonk.inference.trained import load_trained
from metabonk.printable import printable
from metabonk.runs.layout import NEWEST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is exported, and where to."""
    parser.add_argument(
        "run", nargs="?", default=NEWEST, metavar="RUN", help="name or folder; default: newest"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="FILE.pt2 for PyTorch, or FILE.onnx for ONNX Runtime",
    )
    parser.add_argument(
        "--best",
        action="store_true",
        help="use the checkpoint with the best mean return, not the newest",
    )


def run(arguments: argparse.Namespace) -> int:
    """Export the policy of a run.

    Raises:
        MetaBonkError: there is no such run or checkpoint, or the file can't be written.
    """
    check_target(arguments.output)  # Before PyTorch works for seconds.
    trained = load_trained(arguments.run, best=arguments.best)
    export(trained, arguments.output)
    sys.stdout.write(
        printable(f"wrote {arguments.output}: {trained.run}, version {trained.version}") + "\n"
    )
    return 0
