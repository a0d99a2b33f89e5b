"""Runs ``metabonk start`` with stand-ins for the learner and the workers.

``python -m tests.support.fleet_of_stand_ins KIND start …``: everything but what the children do is
the real thing. KIND names a program of ``tests.support.children``, or is source code itself.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from metabonk.cli import main
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.orchestrator import process
from metabonk.orchestrator.supervisor import ChildSpec
from metabonk.settings import Settings
from tests.support import children

kind, *arguments = sys.argv[1:]


def child_specs(
    settings: Settings, settings_file: Path, run_dir: Path, gpus: Sequence[Gpu]
) -> Iterator[ChildSpec]:
    program = getattr(children, kind, kind)
    for name in ("learner", *(f"omega-{index}" for index in range(settings.workers))):
        # The mark by which 'stop' knows MetaBonk's own processes.
        command = (sys.executable, "-c", program, "metabonk.cli.main", name)
        yield ChildSpec(name, command, settings.paths.logs / f"{name}.log")


process.child_specs = child_specs
sys.exit(main.main(arguments))
