"""Common parts of the commands that serve a page: its address, its token, and the log."""

import contextlib
import io
import logging
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import segno

from metabonk.cli.terminal import Terminal, open_terminal
from metabonk.errors import ERROR_PREFIX, MetaBonkError, StartError
from metabonk.orchestrator import preflight
from metabonk.orchestrator.processes import children
from metabonk.settings import Settings
from metabonk.settings.public_url import url_host
from metabonk.settings.schema import LOOPBACK
from metabonk.system.process import StopSignal, configure_logging


def stop_signal() -> StopSignal:
    """Return the signal that stops the command: Ctrl-C, SIGTERM, or a closed terminal."""
    stop = StopSignal()
    # Except under 'nohup'.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda number, frame: stop.set())
    return stop


def serve(run: Callable[[Terminal, StopSignal], None]) -> int:
    """Run a command in the foreground until it is stopped; return the exit code.

    Args:
        run: the command; prints to the terminal.
    """
    stop = stop_signal()
    with contextlib.closing(open_terminal(sys.stdout)) as terminal:
        try:
            run(terminal, stop)
        except MetaBonkError as error:
            terminal.close()
            # Not by ``main``, which waits for a terminal.
            with contextlib.closing(open_terminal(sys.stderr)) as errors:
                errors.print(f"{ERROR_PREFIX}{error}")
            return error.exit_code
    return 0


def page_address(settings: Settings) -> str:
    """Return the address of the page, without the token."""
    return f"http://{_shown_host(settings)}:{settings.ports.page}"


def shown_address(settings: Settings, token: str | None) -> str:
    """Return the address to open, with the token if it is required."""
    shown = settings.public_url or page_address(settings)
    return shown if token is None else f"{shown}/?token={token}"


def qr_code(address: str) -> str:
    """Return an address as a QR code, for the camera of a phone."""
    drawn = io.StringIO()
    segno.make(address, error="l").terminal(out=drawn, compact=True, border=2)
    return drawn.getvalue().rstrip("\n")


def make_token(settings: Settings) -> str | None:
    """Return the token that viewers need; None where the page is served on loopback."""
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


def log_to(folder: Path) -> None:
    """Log to a folder, which is made.

    Raises:
        StartError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        configure_logging("orchestrator", folder / children.ORCHESTRATOR_LOG)
    except OSError as error:
        raise StartError(
            f"can't write logs in {folder.absolute()}: {error.strerror}; start in a folder "
            "that you can write to, or set METABONK_PATHS_LOGS and METABONK_PATHS_RUNS to such"
        ) from None
    logging.captureWarnings(True)
