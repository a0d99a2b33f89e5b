"""``metabonk join``: play for a fleet on other machines, until Ctrl-C or its end."""

import argparse
import contextlib
import functools
import logging
import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from metabonk.cli.display import make_display
from metabonk.cli.serving import log_to, serve
from metabonk.cli.terminal import Terminal
from metabonk.errors import SettingsError, StartError
from metabonk.node import agent
from metabonk.node.agent import NodePlace
from metabonk.node.settings import FOLDER, node_name
from metabonk.orchestrator.lock import FleetLock, clear_killed
from metabonk.settings import Settings, load_settings, unknown_variables
from metabonk.settings.commands import add_fleet, missing_for_fleet
from metabonk.settings.nodes import node_token
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.settings.schema import LOOPBACK
from metabonk.system.ports import free_port
from metabonk.system.process import StopSignal

log = logging.getLogger(__name__)

MAX_AGENTS = 16
"""Agents of one user on one machine that may start at the same time."""

DEFAULT_PORTS = {"http": 80, "https": 443}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the head, and where this node is; everything else is a setting."""
    parser.add_argument("head", metavar="URL", help="address of the head's page, http://HEAD:5173")
    parser.add_argument(
        "--token-file", metavar="F", help="copy of the head's token file; or set METABONK_TOKEN"
    )
    parser.add_argument("--name", metavar="N", help="of this node (default: of the machine)")
    parser.add_argument(
        "--host", metavar="H", help="address to listen on (default: the one that reaches the head)"
    )
    parser.add_argument(
        "--port", metavar="P", help="port to listen on (default: 8070, or the next that is free)"
    )
    parser.add_argument(
        "--address", metavar="A", help="by which the head reaches this node, as through a tunnel"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play for the fleet; return the exit code."""
    return serve(functools.partial(_run, arguments))


def _run(arguments: argparse.Namespace, terminal: Terminal, stop: StopSignal) -> None:
    given = {"nodes": {"port": arguments.port, "token_file": arguments.token_file}}
    settings = load_settings(given)
    for sentence in unknown_variables():
        terminal.print(f"note: {sentence}")
    if problem := missing_for_fleet():
        raise StartError(f"{problem}: run {add_fleet()}")
    token = node_token(settings.nodes.token_file)
    place = _place(arguments, settings)

    def locate() -> Path:
        return runtime_dir(settings.paths.runtime)

    with contextlib.ExitStack() as held:
        orchestrator, lock = _lock(arguments.head, settings, locate)
        held.enter_context(contextlib.closing(lock))
        for line in (*lock.ended, *clear_killed(locate())):
            terminal.print(f"note: {line}")
        log_to(settings.paths.logs / FOLDER / place.name)
        log.info("pid %d, node %s", os.getpid(), place.name)
        terminal.open_display(lambda: make_display(terminal.console, arguments.head))
        agent.run(
            settings,
            place,
            arguments.head,
            token,
            lock,
            terminal,
            stop,
            orchestrator=orchestrator,
        )
        log.info("stopped")
    terminal.print("stopped")


def _place(arguments: argparse.Namespace, settings: Settings) -> NodePlace:
    """Return where this node is.

    Raises:
        SettingsError: the head's address or the name can't be used.
        StartError: no port is free.
    """
    name = arguments.name or platform.node()
    if node_name(name) != name and arguments.name:
        raise SettingsError(
            f"--name is {name!r}; it must have 1 to 63 letters, digits, '.', '_' and '-', and "
            "begin with a letter or digit"
        )
    host = arguments.host or _address_towards(arguments.head)
    return NodePlace(
        name=node_name(name),
        host=host,
        port=settings.nodes.port,
        is_port_fixed=arguments.port is not None,
        address=arguments.address,
    )


def _address_towards(head: str) -> str:
    """Return the address of this machine from which the head is reached.

    Raises:
        SettingsError: the head's address can't be used.
    """
    try:
        parts = urlsplit(head)
        host, port = parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        host = port = None
    if not host or port is None:
        raise SettingsError(
            f"{head!r} is no address of a head; it is that of its page, such as http://10.0.0.1:5173"
        )
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            # Sends nothing, but selects the source address that would be used.
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise SettingsError(f"the head's machine {host} can't be found: {error.strerror}") from None


def _lock(head: str, settings: Settings, locate: Callable[[], Path]) -> tuple[int, FleetLock]:
    """Return a port for the workers' heartbeats, and the lock of this agent on it.

    Raises:
        StartError: there is none.
    """
    tried: set[int] = set()
    while True:
        try:
            port = free_port(LOOPBACK, settings.ports.orchestrator, tried.__contains__)
        except OSError as error:
            raise StartError(f"no port is free on {LOOPBACK}: {error.strerror}") from None
        try:
            return port, FleetLock(locate(), port, page=head, kind="join", locate=locate)
        except StartError:
            # Another agent of this machine has the port and does not listen yet.
            tried.add(port)
            if len(tried) == MAX_AGENTS:
                raise
