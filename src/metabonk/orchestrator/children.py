"""Command lines and environments of a fleet's child processes."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from metabonk.encoding.sessions.gpu_selection import gpu_of_worker
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.messages import Counters, Mode, instance_id
from metabonk.orchestrator.supervisor import ChildSpec
from metabonk.settings import Settings
from metabonk.system.fork_server import ForkServer
from metabonk.system.process_ids import PARENT

LEARNER = "learner"
ORCHESTRATOR_LOG = "orchestrator.log"
FORK_SERVER_LOG = "fork-server.log"
RENDERERS_LOG = "renderers.log"
PRELOADED = ("metabonk.cli.worker", "metabonk.cli.render")


def child_specs(
    settings: Settings,
    settings_file: Path,
    run_dir: Path,
    gpus: Sequence[Gpu],
    counters: Callable[[int], Counters],
) -> Iterator[ChildSpec]:
    """Yield the first worker, the learner, and the other workers: the first stream comes first.

    Each child sees one GPU: workers are spread over them, the learner has the first.

    Args:
        settings: of the fleet.
        settings_file: holds them for the children.
        run_dir: folder of the run.
        gpus: usable ones.
        counters: returns where a worker continues to count; asked at each of its starts.
    """
    common = (
        *("--settings", str(settings_file.absolute())),
        *("--run", str(run_dir.absolute())),
        *(PARENT, str(os.getpid())),
    )

    def worker(index: int) -> Callable[[], tuple[str, ...]]:
        return lambda: metabonk(
            *("worker", *common, "--index", str(index)),
            *("--counted", str(counters(index))),
        )

    learner = metabonk(LEARNER, *common)
    for index in range(settings.workers):
        name = instance_id(index)
        gpu = gpu_of_worker(index, gpus)
        environment = gpu.environment if gpu else {}
        log = settings.paths.logs / f"{name}.log"
        yield ChildSpec(name, worker(index), log, environment=environment, forked=True)
        if index == 0 and settings.mode is Mode.TRAIN:
            log = settings.paths.logs / f"{LEARNER}.log"
            yield ChildSpec(LEARNER, lambda: learner, log, environment=environment, forked=True)


def fork_server(settings: Settings, preload: Sequence[str] = PRELOADED) -> ForkServer:
    """Return a fork server that imports what workers and renderers need.

    The learner needs little more.
    """
    command = metabonk("fork-server", PARENT, str(os.getpid()), "--preload", *preload)
    return ForkServer(command, settings.paths.logs / FORK_SERVER_LOG)


def log_files(settings: Settings, specs: Iterable[ChildSpec]) -> list[Path]:
    """Return every log of a fleet; the folder may hold others' as well."""
    names = (ORCHESTRATOR_LOG, FORK_SERVER_LOG, RENDERERS_LOG)
    return [*(settings.paths.logs / name for name in names), *(spec.log for spec in specs)]


def metabonk(*arguments: str) -> tuple[str, ...]:
    """Return the command line of a sub-command, run by this interpreter."""
    return (sys.executable, "-m", "metabonk.cli.main", *arguments)
