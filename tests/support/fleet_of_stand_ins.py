"""Run ``metabonk start`` with stand-ins for the learner and the workers.

``python -m tests.support.fleet_of_stand_ins KIND start …``: everything but the children is real.
KIND names a program of ``tests.support.children`` or is source code itself.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from metabonk.cli import main
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.messages.workers import Counters, instance_id
from metabonk.orchestrator.processes import children
from metabonk.orchestrator.processes.supervisor import ChildSpec
from metabonk.settings import Settings
from tests.support import children as programs

kind, *arguments = sys.argv[1:]


def child_specs(
    settings: Settings,
    settings_file: Path,
    run_dir: Path,
    gpus: Sequence[Gpu],
    counters: Callable[[int], Counters],
) -> Iterator[ChildSpec]:
    program = getattr(programs, kind, kind)
    for name in ("learner", *map(instance_id, range(settings.workers))):
        # 'stop' recognises MetaBonk's processes by the name of this module.
        command = (sys.executable, "-c", program, "metabonk.cli.main", name)
        yield ChildSpec(name, lambda command=command: command, settings.paths.logs / f"{name}.log")


children.child_specs = child_specs
sys.exit(main.main(arguments))
