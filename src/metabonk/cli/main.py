"""``metabonk``: finds the sub-command, and is the boundary at which errors become sentences."""

import argparse
import contextlib
import faulthandler
import importlib
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from metabonk.errors import ERROR_PREFIX, MetaBonkError
from metabonk.settings.environment import keep_one_heap, keep_openmp_from_spinning
from metabonk.system.process import configure_logging, lower_priority

COMMANDS = {
    "start": "runs a fleet until it is stopped",
    "stop": "stops a running fleet",
    "eval": "plays a trained policy and says how well it does",
    "doctor": "what this machine can do, and what is missing",
    "validate": "five checks of the running fleet",
    "nvenc": "who holds encoder sessions",
    "debug": "plays and learns in one thread, so that a run repeats exactly",
    "worker": "one worker of a fleet (started by 'start')",
    "learner": "the learner of a fleet (started by 'start')",
    "go2rtc": "go2rtc beside a fleet (started by 'start')",
    "sweep": "removes what killed games left behind",
}

CHILDREN = ("worker", "learner")
"""Their standard error is their log, from the first line on."""

# 128 + SIGINT, as a shell says it.
INTERRUPTED = 130
CRASH_LOG = Path("logs") / "crash.log"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        the exit code; 2 for a command line or a setting that can't be used.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="metabonk", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {name: commands.add_parser(name, help=text) for name, text in COMMANDS.items()}
    _report_crashes()
    try:
        if not given or given[0] not in parsers:
            parser.parse_args(given)  # Shows the help, or says what is wrong, and exits.
            return 2
        if given[0] in CHILDREN:
            configure_logging(given[0])
            keep_one_heap()
            if given[0] == "learner":
                # From the first import on: on a small machine the first picture comes before it.
                lower_priority()
                keep_openmp_from_spinning()
            # A crash in native code, or being ended for hanging, tells in the log where it was.
            faulthandler.enable()
        # 'start' must not wait for the seconds that torch takes to be imported.
        command = importlib.import_module(f"metabonk.cli.{given[0]}")
        command.add_arguments(parsers[given[0]])
        return int(command.run(parser.parse_args(given)))
    except MetaBonkError as error:
        return say_error(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        return say_error(
            f"the installation is incomplete: Python finds no module {error.name!r} "
            f"({sys.executable}). './start' installs it, elsewhere 'pip install metabonk'",
            1,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; writing what is buffered would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def say_error(sentence: str, exit_code: int) -> int:
    """Ends a command with its last words; returns ``exit_code``."""
    sys.stderr.write(f"{ERROR_PREFIX}{sentence}\n")
    return exit_code


def _report_crashes() -> None:
    """Sends tracebacks of our own mistakes to a log, and one sentence to the terminal."""

    def report(error: BaseException, trace: TracebackType | None) -> None:
        log = logging.getLogger(__name__)
        where = "the log"
        if not log.hasHandlers():
            where = _log_to_file()
        log.critical("this is a mistake in MetaBonk", exc_info=(type(error), error, trace))
        say_error(
            f"stopped by a mistake in MetaBonk: {type(error).__name__}: {error}; "
            f"{where} has the details",
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
        handler: logging.Handler = logging.FileHandler(CRASH_LOG)
    except OSError:
        return "nothing (no log can be written here)"
    logging.getLogger().addHandler(handler)
    return str(CRASH_LOG.absolute())


def entry() -> NoReturn:
    """The installed command.

    Leaves without the C++ destructors: torch's take a second of CPU at the end of a worker, to undo
    one by one what the kernel frees anyway. Whatever needs an end has had it when ``main`` returns.
    """
    code = main()
    logging.shutdown()
    with contextlib.suppress(OSError):  # Whoever read our output has left.
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry()
