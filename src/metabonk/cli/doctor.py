"""``metabonk doctor``: what this machine can do, and the command that adds what is missing."""

import argparse
import itertools
import sys
from collections.abc import Iterator

from metabonk.cli.inspection import running_fleet, usable_settings
from metabonk.desktop import catalog, retro
from metabonk.doctor.browser import browser_finding
from metabonk.doctor.encoders import encoder_findings, gstreamer_finding
from metabonk.doctor.gpus import gpu_findings, gpu_problems
from metabonk.doctor.host import (
    Finding,
    disk_findings,
    runs_finding,
    runtime_finding,
    shared_memory_finding,
)
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import open_pools
from metabonk.errors import GameError
from metabonk.orchestrator.page import PAGE_DIR
from metabonk.orchestrator.preflight import port_problems
from metabonk.printable import printable
from metabonk.settings import Settings
from metabonk.settings.commands import add_fleet, command, missing_for_fleet, repair
from metabonk.settings.runtime_dir import runtime_dir
from metabonk.settings.schema import available_cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--game", metavar="ID", help="also examine what this desktop game needs")


def run(arguments: argparse.Namespace) -> int:
    """Examine the machine and print each finding as it is made.

    Returns:
        0 if a fleet can run and be watched, else 1.

    Raises:
        MetaBonkError: the runtime or slot directory can't be used.
    """
    settings, mistakes = usable_settings()
    game = arguments.game or settings.game
    blocked = False
    for finding in itertools.chain(
        map(_setting_finding, mistakes), _game_findings(game), examine(settings)
    ):
        sys.stdout.write(f"{finding.mark} {printable(finding.message)}\n")
        if finding.action is not None:
            sys.stdout.write(f"    → {printable(finding.action)}\n")
            blocked |= finding.blocking
        sys.stdout.flush()
    sys.stdout.write("fix what is marked ✗\n" if blocked else "this machine can run a fleet\n")
    return int(blocked)


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield every finding, quick ones first.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(f"Python {version}, {available_cores()} cores")
    yield from _package_findings()
    yield runtime_finding(settings.paths)
    pools = open_pools(settings)
    yield from gpu_findings(pools)
    yield from _port_findings(settings)
    yield from disk_findings(settings.paths)
    yield runs_finding(settings.paths.runs)
    yield shared_memory_finding()
    yield _page_finding()
    yield browser_finding()
    yield gstreamer_finding(pools)
    yield from encoder_findings(settings, pools)
    # After the encoders, because a fresh probe counts for more than a driver version.
    yield from gpu_problems(pools, ProbeCache(pools.folder))


def _setting_finding(mistake: str) -> Finding:
    action = "correct it in metabonk.toml or the environment: no fleet starts with it"
    return Finding(mistake, action, blocking=True)


def _game_findings(game_id: str) -> Iterator[Finding]:
    """Report what a program needs; of other games nothing, since they are Python packages."""
    try:
        if catalog.is_desktop(game_id):
            definition = catalog.load(game_id).definition
        elif retro.is_retro(game_id):
            definition = retro.load(game_id).definition
        else:
            return
    except GameError as error:
        yield Finding(str(error), "correct the game's name or definition", blocking=True)
        return
    missing = list(catalog.missing_needs(definition))
    for need in missing:
        action = f"run '{catalog.install_command(definition)}'"
        yield Finding(f"{game_id} needs {need}, which is missing", action, blocking=True)
    if not missing:
        yield Finding(f"{game_id} ({definition.name}) has all that it needs")


def _package_findings() -> Iterator[Finding]:
    if problem := missing_for_fleet():
        yield Finding(problem, f"run {add_fleet()}", blocking=True)


def _port_findings(settings: Settings) -> Iterator[Finding]:
    folder, port = runtime_dir(settings.paths.runtime), settings.ports.orchestrator
    if (fleet := running_fleet(folder, port)) is not None:
        yield Finding(f"a fleet is running here, with its page at {fleet.page}")
        return
    problems = list(port_problems(settings))
    for problem in problems:
        yield Finding(problem, f"'{command('stop', '--all')}' stops a fleet that is running")
    if not problems:
        yield Finding("all ports are free")


def _page_finding() -> Finding:
    if (PAGE_DIR / "index.html").is_file():
        return Finding("the web page is built")
    return Finding("the web page is not built", f"run '{repair()}' to build it", blocking=True)
