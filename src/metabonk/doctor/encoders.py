"""Each encoder, really opened, fed and closed: under a lease and in a child, as a fleet does it.

What came of it is kept, so that the next start knows.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from metabonk.doctor.finding import Finding
from metabonk.encoding.inventory import missing
from metabonk.encoding.ladder import RUNGS, Rung, Scarcity
from metabonk.encoding.probe import Prover, Untried
from metabonk.encoding.proofs import Proofs
from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.settings import Settings, write_settings


def encoders(settings: Settings, pools: Pools) -> Iterator[Finding]:
    """A finding a rung of the ladder and GPU, as it is tried.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
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
            if gpu and (why := pools.why_no_nvenc(gpu.index)):
                yield Finding(f"{where}: {why}", absent=True)
                continue
            known, proof = prover.known(rung, gpu), prover.prove_anew(rung, gpu)
            if isinstance(proof, Untried):
                before = "has worked here" if known and known.works else "not known"
                yield Finding(f"{where}: {before}; not tried now, since {proof.reason}")
                # Where somebody encodes with it, it is no reason to say that none works.
                working += proof.at_limit
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
