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
from metabonk.errors import SettingsError, StartError
from metabonk.messages import Mode
from metabonk.orchestrator import go2rtc, preflight, process
from metabonk.orchestrator.lock import FleetLock
from metabonk.runs.layout import NEWEST, discard, find_run, game_of, new_run
from metabonk.settings import Settings, load_settings, unknown_variables
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.process import StopSignal, configure_logging

log = logging.getLogger(__name__)

TOP_LEVEL = ("mode", "workers", "game", "stream_profile", "host")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; everything else is a setting."""
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], help="default: train")
    parser.add_argument("--workers", metavar="N", help="number of workers (default: 2)")
    parser.add_argument(
        "--games-per-worker", metavar="N", help="games that each plays at once (default: by cores)"
    )
    parser.add_argument("--game", metavar="ID", help="doom:<scenario> or gym:<Gymnasium id>")
    parser.add_argument("--seed", metavar="N", help="seed of networks and games (default: 0)")
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


def run(arguments: argparse.Namespace) -> int:
    """Run the fleet.

    Raises:
        MetaBonkError: it can't start.
    """
    stop = StopSignal()
    # Closing the terminal stops the fleet, except under 'nohup'.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda number, frame: stop.set())
    out = Console(soft_wrap=True, highlight=False, markup=False)
    settings, resumed = _settings(arguments)
    for sentence in unknown_variables():
        out.print(f"note: {sentence}")
    if missing := go2rtc.note(settings):
        out.print(f"note: {missing}")
    token = _token(settings)
    page = f"http://{_shown_host(settings)}:{settings.ports.page}"
    shown = page if token is None else f"{page}/?token={token}"
    folder, port = runtime_dir(settings.paths.runtime), settings.ports.orchestrator
    with contextlib.closing(FleetLock(folder, port, page=page)) as lock:
        preflight.check(settings)
        _log_to(settings.paths.logs)
        run_dir = resumed or new_run(settings)
        log.info("pid %d, run %s", os.getpid(), run_dir.absolute())
        try:
            display = LiveTable(out, shown) if out.is_terminal else Lines(sys.stdout, shown)
            with contextlib.closing(display):
                process.run(settings, run_dir, lock, display, stop, token=token)
        except SettingsError:
            # Such as an unknown game: nothing was run.
            if resumed is None:
                discard(run_dir)
            raise
        log.info("stopped")
    with contextlib.suppress(OSError):
        out.print(f"stopped; the run is in {run_dir}")
    return 0


def _settings(arguments: argparse.Namespace) -> tuple[Settings, Path | None]:
    """Return the settings, and the folder of the resumed run; a run keeps its game."""
    given = {name: getattr(arguments, name) for name in TOP_LEVEL}
    given |= {
        "worker": {"games_per_worker": arguments.games_per_worker},
        "learning": {"seed": arguments.seed},
        "go2rtc": {"enabled": arguments.go2rtc or None},
    }
    settings = load_settings(given)
    if arguments.resume is None and settings.mode is Mode.TRAIN:
        return settings, None
    run_dir = find_run(settings.paths.runs, arguments.resume or NEWEST, mode=settings.mode)
    game = game_of(run_dir)
    if arguments.game not in (None, game):
        raise StartError(
            f"run {run_dir.name} was trained on {game} and can't resume as {arguments.game}; "
            "omit --game, or start a new run without --resume"
        )
    return load_settings({**given, "game": game}), run_dir


def _token(settings: Settings) -> str | None:
    if not settings.is_remote:
        return None
    token = settings.access_token
    return token.get_secret_value() if token else secrets.token_urlsafe(32)


def _shown_host(settings: Settings) -> str:
    """Return the name or address by which people reach the page."""
    if not settings.is_remote:
        return "localhost"
    if settings.host not in ("0.0.0.0", "::"):
        return f"[{settings.host}]" if ":" in settings.host else settings.host
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
        configure_logging("orchestrator", folder / "orchestrator.log")
    except OSError as error:
        raise StartError(
            f"can't write logs in {folder.absolute()}: {error.strerror}; "
            "METABONK_PATHS_LOGS names another folder"
        ) from None
    logging.captureWarnings(True)
