"""Run ``metabonk start`` or ``join`` with workers that play no game, without inference servers.

``python -m tests.support.gameless_fleet [--learner | --record] start …``: the workers are processes
of ``tests.support.gameless_worker``; with ``--learner`` there is a learner, with ``--record``
``tests.support.rollout_record`` instead; all else is real.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from metabonk.cli import main
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.messages.workers import Counters
from metabonk.orchestrator.processes import children
from metabonk.orchestrator.processes.supervisor import ChildSpec
from metabonk.settings import Settings

WORKER = "tests.support.gameless_worker"
RECORD = "tests.support.rollout_record"
LEARNERS = {"--learner": None, "--record": RECORD}
"""Options, and the module that each runs in place of the learner."""

real_child_specs = children.child_specs
real_worker_spec = children.worker_spec
arguments = sys.argv[1:]
has_learner = arguments[0] in LEARNERS


def child_specs(
    settings: Settings,
    settings_file: Path,
    run_dir: Path,
    gpus: Sequence[Gpu],
    counters: Callable[[int], Counters],
) -> Iterator[ChildSpec]:
    for spec in real_child_specs(settings, settings_file, run_dir, gpus, counters):
        if spec.name != children.LEARNER:
            yield spec
        elif has_learner:
            module = LEARNERS[arguments[0]]
            command = spec.command if module is None else instead(spec.command, module)
            yield replace(spec, command=command, forked=False)


def worker_spec(*described: Any) -> ChildSpec:
    spec = real_worker_spec(*described)
    return replace(spec, command=instead(spec.command, WORKER))


def instead(command: Callable[[], Sequence[str]], module: str) -> Callable[[], Sequence[str]]:
    def changed() -> Sequence[str]:
        interpreter, option, *rest = command()
        # ``metabonk.cli.main worker …`` remains visible, which is how 'stop' recognises it.
        return (interpreter, option, module, *rest)

    return changed


children.child_specs = child_specs
children.worker_spec = worker_spec
children.inference_specs = lambda *described: iter(())
children.fork_server = partial(children.fork_server, preload=(WORKER,))
sys.exit(main.main(arguments[has_learner:]))
