"""``metabonk start``: run a fleet in the foreground until Ctrl-C."""

import argparse
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

from rich.console import Console

from metabonk.cli.display import Lines, LiveTable
from metabonk.cli.terminal import Display, Terminal, open_terminal
from metabonk.errors import ERROR_PREFIX, MetaBonkError, SettingsError, StartError
from metabonk.messages import Mode
from metabonk.orchestrator import children, go2rtc, preflight, process
from metabonk.orchestrator.lock import FleetLock, clear_killed
from metabonk.runs.layout import (
    NEWEST,
    discard,
    env_args_of,
    find_run,
    game_of,
    learning_of,
    new_run,
)
from metabonk.settings import Settings, env_args, load_settings, unknown_variables
from metabonk.settings.public_url import url_host
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.settings.schema import LOOPBACK
from metabonk.system.process import StopSignal, configure_logging

log = logging.getLogger(__name__)

TOP_LEVEL = ("mode", "workers", "game", "stream_profile", "host", "public_url")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; everything else is a setting."""
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], help="default: train")
    parser.add_argument("--workers", metavar="N", help="number of workers (default: 2)")
    parser.add_argument(
        "--games-per-worker", metavar="N", help="games that each plays at once (default: by cores)"
    )
    parser.add_argument("--game", metavar="ID", help="doom:<scenario> or gym:<Gymnasium id>")
    parser.add_argument(
        "--env-arg",
        action="append",
        metavar="KEY=VALUE",
        help="argument for the constructor of a Gymnasium environment; repeatable",
    )
    parser.add_argument(
        "--seed", metavar="N", help="seed of networks, episodes and actions (default: 0)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=NEWEST,
        metavar="RUN",
        help="resume an earlier run; without a name, the newest",
    )
    parser.add_argument(
        "--stream-profile", metavar="NAME|FILE", help="a name in profiles/, or a TOML file"
    )
    parser.add_argument(
        "--go2rtc",
        action="store_true",
        help="also serve the streams through go2rtc, if it is installed",
    )
    parser.add_argument("--host", metavar="H", help="address of the page (default: 127.0.0.1)")
    parser.add_argument(
        "--public-url", metavar="URL", help="address under which a proxy serves the page"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the fleet; return the exit code."""
    stop = StopSignal()
    # Closing the terminal stops the fleet, except under 'nohup'.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda number, frame: stop.set())
    with contextlib.closing(open_terminal(sys.stdout)) as terminal:
        try:
            _run(arguments, terminal, stop)
        except MetaBonkError as error:
            terminal.close()
            # Not by ``main``, which waits for a terminal.
            with contextlib.closing(open_terminal(sys.stderr)) as errors:
                errors.print(f"{ERROR_PREFIX}{error}")
            return error.exit_code
    return 0


def _run(arguments: argparse.Namespace, terminal: Terminal, stop: StopSignal) -> None:
    settings, resumed, notes = _settings(arguments)
    for sentence in (*unknown_variables(), *notes):
        terminal.print(f"note: {sentence}")
    if missing := go2rtc.note(settings):
        terminal.print(f"note: {missing}")
    if conflict := preflight.localhost_conflict(settings):
        terminal.print(f"note: {conflict}")
    token = _token(settings)
    page = f"http://{_shown_host(settings)}:{settings.ports.page}"
    shown = settings.public_url or page
    if token is not None:
        shown += f"/?token={token}"
    folder, port = runtime_dir(settings.paths.runtime), settings.ports.orchestrator

    def locate() -> Path:
        return runtime_dir(settings.paths.runtime)

    with contextlib.closing(FleetLock(folder, port, page=page, locate=locate)) as lock:
        for line in (*lock.ended, *clear_killed(folder)):
            terminal.print(f"note: {line}")
        preflight.check(settings)
        _log_to(settings.paths.logs)
        run_dir = resumed or new_run(settings)
        log.info("pid %d, run %s", os.getpid(), run_dir.absolute())
        terminal.open_display(lambda: _make_display(terminal.console, shown))
        try:
            process.run(settings, run_dir, lock, terminal, stop, token=token)
        except SettingsError:
            # Such as an unknown game: nothing was run.
            if resumed is None:
                discard(run_dir)
            raise
        log.info("stopped")
    terminal.print(f"stopped; the run is in {run_dir}")


def _make_display(console: Console, page: str) -> Display:
    return LiveTable(console, page) if console.is_terminal else Lines(console.file, page)


def _settings(arguments: argparse.Namespace) -> tuple[Settings, Path | None, list[str]]:
    """Return the settings, the folder of the resumed run, and notes for the user.

    A run keeps its game.
    """
    given = {name: getattr(arguments, name) for name in TOP_LEVEL}
    given |= {
        "worker": {"games_per_worker": arguments.games_per_worker},
        "learning": {"seed": arguments.seed, "env_args": arguments.env_arg},
        "go2rtc": {"enabled": arguments.go2rtc or None},
    }
    settings = load_settings(given)
    if arguments.resume is None and settings.mode is Mode.TRAIN:
        return settings, None, []
    run_dir = find_run(settings.paths.runs, arguments.resume or NEWEST, mode=settings.mode)
    game = game_of(run_dir)
    if arguments.game not in (None, game):
        raise StartError(
            f"run {run_dir.name} was trained on {game} and can't resume as {arguments.game}; "
            "omit --game, or start a new run without --resume"
        )
    # What else it was trained with is kept where nothing is given now.
    learning = learning_of(run_dir)
    learning.pop("env_args", None)
    settings = load_settings({**given, "game": game}, {"learning": learning})
    kept, notes = _keep_env_args(settings, run_dir, replace=arguments.env_arg is not None)
    return kept, run_dir, notes


def _keep_env_args(
    settings: Settings, run_dir: Path, *, replace: bool
) -> tuple[Settings, list[str]]:
    """Return settings with the run's arguments of the environment, and a note on other ones.

    Args:
        settings: as given for the resumed run.
        run_dir: its folder.
        replace: use the given arguments instead.
    """
    given, kept = settings.learning.env_args, env_args_of(run_dir)
    if given == kept:
        return settings, []
    if replace:
        was, now = env_args.show(kept), env_args.show(given)
        return settings, [f"run {run_dir.name} was started with {was} and resumes with {now}"]
    learning = settings.learning.model_copy(update={"env_args": kept})
    settings = settings.model_copy(update={"learning": learning})
    if not given:
        return settings, []
    return settings, [
        f"run {run_dir.name} keeps {env_args.show(kept)}; only --env-arg gives its environment "
        f"others, such as {env_args.show(given)}"
    ]


def _token(settings: Settings) -> str | None:
    if not settings.is_remote:
        return None
    token = settings.access_token
    return token.get_secret_value() if token else secrets.token_urlsafe(32)


def _shown_host(settings: Settings) -> str:
    """Return the name or address by which people reach the page."""
    if settings.host in (LOOPBACK, "localhost"):
        return LOOPBACK if preflight.localhost_conflict(settings) else "localhost"
    if settings.host not in ("0.0.0.0", "::"):
        return url_host(settings.host)
    # Connecting a datagram socket sends nothing, but selects the source address that would be used
    # (192.0.2.1 is reserved for documentation: RFC 5737).
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _log_to(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        configure_logging("orchestrator", folder / children.ORCHESTRATOR_LOG)
    except OSError as error:
        raise StartError(
            f"can't write logs in {folder.absolute()}: {error.strerror}; start in a folder "
            "that you can write to, or set METABONK_PATHS_LOGS and METABONK_PATHS_RUNS to such"
        ) from None
    logging.captureWarnings(True)
