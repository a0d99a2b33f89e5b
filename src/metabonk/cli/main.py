"""``metabonk``: dispatch to the sub-commands, and the boundary where errors become sentences."""

import argparse
import contextlib
import faulthandler
import importlib
import logging
import os
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from metabonk.errors import ERROR_PREFIX, MetaBonkError
from metabonk.printable import printable
from metabonk.settings.commands import missing_module
from metabonk.settings.environment import disable_openmp_spinning, use_one_heap
from metabonk.system.descriptors import raise_descriptor_limit
from metabonk.system.process import SERVING_NICE, configure_logging, lower_priority
from metabonk.system.text_streams import SHOWABLE, make_streams_showable

COMMANDS = {
    "start": "run a fleet until it is stopped",
    "watch": "show the environments that other trainers broadcast",
    "join": "play for a fleet whose page and learner are on another machine",
    "stop": "stop a running fleet, hub or node",
    "eval": "play a trained policy and report its returns",
    "replay": "draw an episode of a run again, as a video",
    "export": "write a trained policy to a file for PyTorch or ONNX Runtime",
    "doctor": "show what this machine can do and what is missing",
    "desktop": "try the definition of a desktop game, or learn the digits of its score",
    "validate": "check a running fleet",
    "runs": "list the runs, or delete old ones",
    "nvenc": "show or clean up encoder sessions",
    "debug": "play and learn in one thread, exactly repeatable",
    "hub": "the same as 'watch', in the background (started by the first broadcast)",
    "guest": "shows one environment of another trainer (started by 'start', 'watch' or 'hub')",
    "worker": "one worker of a fleet (started by 'start')",
    "learner": "the learner of a fleet (started by 'start')",
    "inference-server": "decides for the workers of a GPU (started by 'start')",
    "fork-server": "the parent of workers and the learner (started by 'start')",
    "render": "the renderer of one replay (started by 'start')",
    "air": "puts that stream on air (started by 'start')",
    "ray": "starts node agents on a Ray cluster (started by 'start')",
    "program": "one stream that follows the director (started by 'start')",
    "games": "games of a worker (started by 'worker')",
    "go2rtc": "go2rtc beside a fleet (started by 'start')",
    "cleanup-games": "remove what killed games left behind",
}

CHILDREN = (
    *("worker", "guest", "learner", "inference-server"),
    *("fork-server", "render", "games", "program", "air", "ray"),
)
"""Commands whose standard error is their log."""

INTERNAL = (*CHILDREN, "hub", "go2rtc", "cleanup-games")
"""Commands whose output goes to a log, or to a process of MetaBonk."""

EXAMPLES = """examples:
  metabonk start --mode train --workers 2     then open http://localhost:5173
  metabonk eval --episodes 20                 how good is the newest policy?
  metabonk replay newest best                 the best episode as a video
  metabonk doctor                             what can this machine do?

'metabonk COMMAND --help' lists the options of a command.
"""

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
CRASH_LOG = Path("logs") / "crash.log"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code; 2 for an invalid command line or setting.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    make_streams_showable(as_utf8=bool(given) and given[0] in INTERNAL)
    parser = argparse.ArgumentParser(
        prog="metabonk",
        description="A live eye on a fleet of reinforcement-learning workers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"metabonk {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {name: commands.add_parser(name, help=text) for name, text in COMMANDS.items()}
    _report_crashes()
    raise_descriptor_limit()
    try:
        if not given or given[0] not in parsers:
            parser.parse_args(given)  # Prints help, the version or an error, and exits.
            return 2
        if given[0] in CHILDREN:
            configure_logging(given[0])
            use_one_heap()
            if given[0] in ("learner", "render"):
                # Before the first import: on a small machine the first frame comes first.
                lower_priority()
            if given[0] == "inference-server":
                lower_priority(SERVING_NICE)
            if given[0] in ("learner", "fork-server"):
                disable_openmp_spinning()
            # Logs the stack on a crash in native code, or when the process is ended as hung.
            faulthandler.enable()
        # Imported here: 'start' must not wait for torch.
        command = importlib.import_module(f"metabonk.cli.{given[0].replace('-', '_')}")
        command.add_arguments(parsers[given[0]])
        return int(command.run(parser.parse_args(given)))
    except MetaBonkError as error:
        return print_error(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        return print_error(missing_module(error.name), 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Our reader has left: flushing what is buffered would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _version() -> str:
    try:
        return version("metabonk")
    except PackageNotFoundError:  # Run from a checkout that is not installed.
        return "(not installed)"


def print_error(sentence: str, exit_code: int) -> int:
    """Print the error that ends a command; return ``exit_code``."""
    sys.stderr.write(f"{ERROR_PREFIX}{printable(sentence)}\n")
    return exit_code


def _report_crashes() -> None:
    """Send tracebacks of internal errors to a log, and one sentence to the terminal."""

    def report(error: BaseException, trace: TracebackType | None) -> None:
        log = logging.getLogger(__name__)
        where = "the end of the log"
        if not log.hasHandlers():
            where = _log_to_file()
        log.critical("internal error", exc_info=(type(error), error, trace))
        print_error(
            f"internal error (please report it, with {where}): {type(error).__name__}: {error}",
            1,
        )

    def in_main(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        report(error, trace)

    def in_thread(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None:
            report(failure.exc_value, failure.exc_traceback)

    sys.excepthook = in_main
    threading.excepthook = in_thread


def _log_to_file() -> str:
    try:
        CRASH_LOG.parent.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.FileHandler(CRASH_LOG, encoding="utf-8", errors=SHOWABLE)
    except OSError:
        return "this line, since no log can be written here"
    logging.getLogger().addHandler(handler)
    return str(CRASH_LOG.absolute())


def entry() -> NoReturn:
    """Run the installed command, and exit without C++ destructors.

    Those of torch take a second of CPU to release what the kernel frees anyway. Everything that
    needs closing is closed when ``main`` returns.
    """
    code = main()
    logging.shutdown()
    with contextlib.suppress(OSError):  # Our reader has left.
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry()
