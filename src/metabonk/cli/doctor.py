"""``metabonk doctor``: what this machine can do, and the one command that adds what is missing.

Encoders are not looked up but opened, fed and closed, each under a lease and in a child process, as
a fleet does it. What came of it is kept, so that the next start knows.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metabonk.encoding.inventory import gstreamer_version, missing
from metabonk.encoding.ladder import RUNGS, Rung, Scarcity
from metabonk.encoding.probe import Busy, Prover
from metabonk.encoding.proofs import Proofs
from metabonk.encoding.sessions import Pools, open_pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.orchestrator.page import PAGE_DIR
from metabonk.orchestrator.preflight import disk_problem, port_problems
from metabonk.settings import Settings, load_settings, write_settings
from metabonk.settings.schema import available_cores
from metabonk.validation.look import BROWSERS

SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_NEEDED = 256 << 20
BROWSER_TIMEOUT_S = 20.0
H264 = 'video/mp4; codecs="avc1.42E020"'
"""Constrained Baseline, as every encoder here is told to make it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found out.

    Attributes:
        what: is so.
        do: what to do about it; None where nothing has to be done.
        needed: whether a fleet can't run, or can't be watched, as it is.
        absent: it tells of something that isn't here and need not be.
    """

    what: str
    do: str | None = None
    needed: bool = False
    absent: bool = False

    @property
    def mark(self) -> str:
        """At a glance."""
        if self.do is None:
            return "–" if self.absent else "✓"
        return "✗" if self.needed else "·"


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
    yield from _gpus(pools)
    yield from _ports(settings)
    yield from _disks(settings)
    yield _page()
    yield _browser()
    yield Finding(f"GStreamer's bindings: {gstreamer_version()}")
    yield from _encoders(settings, pools)


def _gpus(pools: Pools) -> Iterator[Finding]:
    if not pools.census.gpus:
        yield Finding(f"no NVIDIA GPU to use: {pools.census.unavailable}", absent=True)
    for gpu in pools.census.gpus:
        limit = pools.limit(gpu)
        yield Finding(
            f"GPU {gpu.index}: {gpu.name}, driver {gpu.driver}, {gpu.session_count} encoder "
            f"sessions open, limit {limit.sessions} ({limit.because})"
        )


def _ports(settings: Settings) -> Iterator[Finding]:
    problems = list(port_problems(settings))
    for problem in problems:
        yield Finding(problem, "'python scripts/stop.py --all' stops a fleet that runs already")
    if not problems:
        yield Finding("all ports are free")


def _disks(settings: Settings) -> Iterator[Finding]:
    for folder in (settings.paths.runs, settings.paths.logs):
        if problem := disk_problem(folder):
            yield Finding(problem.what, problem.do, needed=True)
        else:
            yield Finding(f"there is disk for {folder}")
    free = shutil.disk_usage(SHARED_MEMORY).free
    what = f"{SHARED_MEMORY} has {free >> 20} MB free, for game engines"
    if free < SHARED_MEMORY_NEEDED:
        yield Finding(what, "in a container: docker run --shm-size=1g", needed=True)
    else:
        yield Finding(what)


def _page() -> Finding:
    if (PAGE_DIR / "index.html").is_file():
        return Finding("the web page is built")
    return Finding("the web page is not built", "./start builds it", needed=True)


def _browser() -> Finding:
    """Whether a browser here plays what is streamed; spectators may use others elsewhere."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        return Finding("no browser here that could be asked; any current one plays the streams")
    asked = f"data:text/html,<script>document.write(MediaSource.isTypeSupported('{H264}'))</script>"
    with tempfile.TemporaryDirectory() as profile:
        command = [
            *(browser, "--headless", "--disable-gpu", "--no-sandbox", "--dump-dom"),
            *(f"--user-data-dir={profile}", asked),
        ]
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=BROWSER_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Finding(f"{browser} could not be asked: {error}")
    if "<body>true" in answer.stdout or "true</body>" in answer.stdout:
        return Finding(f"{browser} plays H.264")
    return Finding(f"{browser} does not play H.264", "use Chrome, Edge, Safari or Firefox")


def _encoders(settings: Settings, pools: Pools) -> Iterator[Finding]:
    lacking, working = missing(settings.stream.engine), 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.json"
        write_settings(settings, file)
        prover = Prover(file, Proofs(pools.folder))
        for rung, gpu in _attempts(pools):
            where = f"encoder {rung.backend}" + (f" on GPU {gpu.index}" if gpu else "")
            if rung.backend in lacking:
                yield Finding(f"{where}: {lacking[rung.backend]}", absent=True)
                continue
            proof = prover.prove(rung, gpu)
            if isinstance(proof, Busy):
                yield Finding(f"{where}: not tried, {proof.reason}", absent=True)
                continue
            working += proof.works
            said = "works" if proof.works else proof.reason
            yield Finding(f"{where}: {said}", absent=not proof.works)
    if not working:
        yield Finding("no encoder works here", "see docs/encoding.md", needed=True)


def _attempts(pools: Pools) -> Iterator[tuple[Rung, Gpu | None]]:
    for rung in RUNGS:
        if rung.scarcity is not Scarcity.NVENC:
            yield rung, None
        for gpu in pools.census.gpus if rung.scarcity is Scarcity.NVENC else ():
            yield rung, gpu
