"""``metabonk hub``: shows what is broadcast, in the background; started by the first broadcast."""

import argparse
import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from metabonk.broadcast import meeting
from metabonk.broadcast.meeting import LINE, START_LOG, STARTING, meeting_folder
from metabonk.broadcast.places import SETTING
from metabonk.cli.serving import log_to, make_token, page_address, shown_address
from metabonk.messages.fleet import Fleet
from metabonk.orchestrator import hub, preflight
from metabonk.orchestrator.guests.election import Election
from metabonk.orchestrator.hub_settings import hub_settings
from metabonk.orchestrator.lock import FleetLock, clear_killed
from metabonk.orchestrator.processes.supervisor import ChildState
from metabonk.settings import load_usable_settings
from metabonk.settings.environment import forget_air_key, keep_folders
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.system.process import SERVING_NICE, StopSignal, lower_priority

log = logging.getLogger(__name__)


class NoDisplay:
    """Display of a process without a terminal."""

    def show(self, fleet: Fleet, processes: Mapping[str, ChildState]) -> None:
        """Show nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the lock that says that it is being started."""
    parser.add_argument(
        "--starting", type=int, metavar="FD", help="of the lock that is held until it has started"
    )
    parser.add_argument(
        "--tell", type=int, metavar="FD", help="to which the address of the page is written"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show what is broadcast until nothing is for a while.

    Raises:
        MetaBonkError: it can't start.
    """
    stop = StopSignal()
    with contextlib.ExitStack() as held:
        starting = held.enter_context(_Starting(arguments.starting, arguments.tell))
        election = held.enter_context(contextlib.closing(Election("hub")))
        if not election.run():
            starting.tell(meeting.page_address(meeting_folder()))
            return 0
        given, mistakes = load_usable_settings()
        settings = hub_settings(given, fixed_page=False)
        forget_air_key()
        log_to(settings.paths.logs)
        # The trainer's folder is left alone, and its modules take the place of no others.
        keep_folders(SETTING)
        os.chdir(settings.paths.logs)
        for mistake in mistakes:
            log.warning("%s; the hub goes without it", mistake)

        def locate() -> Path:
            return runtime_dir(settings.paths.runtime)

        page = page_address(settings)
        port = settings.ports.orchestrator
        lock = FleetLock(locate(), port, page=page, kind="hub", locate=locate)
        held.enter_context(contextlib.closing(lock))
        for line in (*lock.ended, *clear_killed(locate())):
            log.info("%s", line)
        preflight.check_hub(settings)
        token = make_token(settings)
        shown = shown_address(settings, token)
        log.info("pid %d, shows what is broadcast at %s", os.getpid(), page)
        hub.run(
            settings,
            lock,
            NoDisplay(),
            stop,
            election,
            page=shown,
            token=token,
            idle_s=settings.hub.idle_s,
            on_ready=lambda: _on_ready(starting, shown),
        )
        log.info("stopped")
    return 0


def _on_ready(starting: "_Starting", page: str) -> None:
    """Tell of the page. From now on training comes first, before this and all children."""
    starting.end()
    starting.tell(page)
    lower_priority(SERVING_NICE)


class _Starting(contextlib.AbstractContextManager["_Starting"]):
    """Lock and terminal that a trainer hands its hub, so that no other starts one.

    Args:
        lock: descriptor; None without one.
        terminal: descriptor of the trainer's standard error; None: it is told otherwise.
    """

    def __init__(self, lock: int | None, terminal: int | None) -> None:
        self._lock, self._terminal = lock, terminal
        for descriptor in (lock, terminal):
            if descriptor is not None:
                os.set_inheritable(descriptor, False)

    def end(self) -> None:
        """Say that the hub has started."""
        if self._lock is not None:
            for name in (START_LOG, STARTING):
                (meeting_folder() / name).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def tell(self, page: str | None) -> None:
        """Print the address of the page in the trainer's terminal, if there is one to print."""
        if self._terminal is not None:
            if page is not None:
                with contextlib.suppress(OSError):  # The trainer may have ended.
                    os.write(self._terminal, LINE.format(page=page).encode())
            os.close(self._terminal)
            self._terminal = None

    def __exit__(self, *exception: object) -> None:
        for descriptor in (self._lock, self._terminal):
            if descriptor is not None:
                os.close(descriptor)
