"""``metabonk watch``: show the environments that this user's trainers broadcast, until Ctrl-C."""

import argparse
import contextlib
import functools
import logging
import os
from pathlib import Path

from metabonk.cli.display import make_display
from metabonk.cli.serving import log_to, make_token, page_address, serve, shown_address
from metabonk.cli.terminal import Terminal
from metabonk.errors import StartError
from metabonk.orchestrator import hub, preflight
from metabonk.orchestrator.guests.election import Election
from metabonk.orchestrator.hub_settings import hub_settings
from metabonk.orchestrator.lock import FleetLock, clear_killed
from metabonk.settings import load_settings, unknown_variables
from metabonk.settings.environment import forget_air_key
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the page is served; everything else is a setting."""
    parser.add_argument("--port", metavar="P", help="port of the page (default: 5173, or the next)")
    parser.add_argument("--host", metavar="H", help="address of the page (default: 127.0.0.1)")
    parser.add_argument(
        "--public-url", metavar="URL", help="address under which a proxy serves the page"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show what is broadcast; return the exit code."""
    return serve(functools.partial(_run, arguments))


def _run(arguments: argparse.Namespace, terminal: Terminal, stop: StopSignal) -> None:
    given = load_settings(
        {
            "host": arguments.host,
            "public_url": arguments.public_url,
            "ports": {"page": arguments.port},
        }
    )
    for sentence in unknown_variables():
        terminal.print(f"note: {sentence}")
    with contextlib.ExitStack() as held:
        election = held.enter_context(contextlib.closing(Election("watch")))
        _win(election, terminal)
        settings = hub_settings(given, fixed_page=arguments.port is not None)
        if conflict := preflight.localhost_conflict(settings):
            terminal.print(f"note: {conflict}")
        forget_air_key()
        token = make_token(settings)
        shown = shown_address(settings, token)

        def locate() -> Path:
            return runtime_dir(settings.paths.runtime)

        lock = FleetLock(
            locate(),
            settings.ports.orchestrator,
            page=page_address(settings),
            kind="watch",
            locate=locate,
        )
        held.enter_context(contextlib.closing(lock))
        for line in (*lock.ended, *clear_killed(locate())):
            terminal.print(f"note: {line}")
        preflight.check_hub(settings)
        log_to(settings.paths.logs)
        log.info("pid %d, shows what is broadcast", os.getpid())
        terminal.open_display(lambda: make_display(terminal.console, shown))
        hub.run(settings, lock, terminal, stop, election, page=shown, token=token)
        log.info("stopped")
    terminal.print("stopped")


def _win(election: Election, terminal: Terminal) -> None:
    """Become the process that shows environments.

    Raises:
        StartError: another one does, or there is no folder to meet trainers in.
    """
    try:
        for line in election.take_over():
            terminal.print(f"note: {line}")
    except OSError as error:
        raise StartError(f"trainers can't be found: {error}") from None
    if election.is_won:
        return
    holder = election.holder()
    where = f" at {holder.page}" if holder is not None and holder.page else ""
    who = "a fleet" if holder is None or holder.kind == "fleet" else f"'metabonk {holder.kind}'"
    raise StartError(f"{who} shows what is broadcast already{where}")
