"""``metabonk doctor``: what this machine can do, and the one command that adds what is missing."""

import argparse
import sys
from collections.abc import Iterator

from metabonk.doctor import host
from metabonk.doctor.browser import browser
from metabonk.doctor.encoders import encoders, gstreamer
from metabonk.doctor.gpus import gpu_problems, gpus
from metabonk.doctor.host import Finding
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import open_pools
from metabonk.orchestrator.page import PAGE_DIR
from metabonk.orchestrator.preflight import port_problems
from metabonk.settings import Settings, load_settings
from metabonk.settings.schema import available_cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(arguments: argparse.Namespace) -> int:
    """Examines the machine, and prints a line for each finding as it is made.

    Returns:
        0 where a fleet can run and be watched.

    Raises:
        MetaBonkError: a setting or the slot directory can't be used.
    """
    settings = load_settings({})
    fine = True
    for finding in examine(settings):
        fine &= finding.do is None or not finding.needed
        sys.stdout.write(f"{finding.mark} {finding.what}\n")
        if finding.do is not None:
            sys.stdout.write(f"    → {finding.do}\n")
        sys.stdout.flush()
    sys.stdout.write("this machine can run a fleet\n" if fine else "see what is marked ✗\n")
    return 0 if fine else 1


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything, the quick things first.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(f"Python {version}, {available_cores()} cores")
    pools = open_pools(settings)
    yield from gpus(pools)
    yield from _ports(settings)
    yield from host.disks(settings.paths)
    yield host.shared_memory()
    yield _page()
    yield browser()
    yield gstreamer(pools)
    yield from encoders(settings, pools)
    # Last, since what was tried just now counts for more than a version.
    yield from gpu_problems(pools, ProbeCache(pools.folder))


def _ports(settings: Settings) -> Iterator[Finding]:
    problems = list(port_problems(settings))
    for problem in problems:
        yield Finding(problem, "'python scripts/stop.py --all' stops a fleet that runs already")
    if not problems:
        yield Finding("all ports are free")


def _page() -> Finding:
    if (PAGE_DIR / "index.html").is_file():
        return Finding("the web page is built")
    return Finding("the web page is not built", "./start builds it", needed=True)
