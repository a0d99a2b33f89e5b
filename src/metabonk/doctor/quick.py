"""What a person should act on, as far as it shows at a glance."""

from collections.abc import Iterator

from metabonk.doctor import host
from metabonk.doctor.gpus import gpu_problems
from metabonk.doctor.host import Finding
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Pools
from metabonk.settings import Settings


def glance(settings: Settings, pools: Pools, proofs: ProbeCache) -> list[Finding]:
    """Only findings with something to do. Opens nothing, starts nothing, asks no driver.

    What is known of encoders is what fleets and ``metabonk doctor`` have learned so far, so that a
    finding may come, or go, once a worker has tried one.
    """
    found = [*_host(settings), *gpu_problems(pools, proofs)]
    return [finding for finding in found if finding.do is not None]


def _host(settings: Settings) -> Iterator[Finding]:
    yield from host.disks(settings.paths)
    if settings.game.startswith("doom:"):
        yield host.shared_memory()
