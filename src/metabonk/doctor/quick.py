"""Problems with this machine that are cheap to find, for a running fleet."""

from collections.abc import Iterator

from metabonk.doctor.gpus import gpu_problems
from metabonk.doctor.host import Finding, disk_findings, shared_memory_finding
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Pools
from metabonk.settings import Settings


def find_problems(settings: Settings, pools: Pools, probes: ProbeCache) -> list[Finding]:
    """Return the findings that call for action. Cheap enough to be called every second.

    Opens no encoder, starts no process and doesn't query the driver. What is known about encoders
    comes from earlier probes by fleets and ``metabonk doctor``, so a problem may appear, or go,
    once a worker has probed one.
    """
    findings = [*_host_findings(settings), *gpu_problems(pools, probes)]
    return [finding for finding in findings if finding.action is not None]


def _host_findings(settings: Settings) -> Iterator[Finding]:
    yield from disk_findings(settings.paths)
    if settings.workers and settings.game.startswith("doom:"):
        yield shared_memory_finding()
