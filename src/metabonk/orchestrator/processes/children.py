"""Command lines and environments of a fleet's child processes."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from metabonk.encoding.sessions.gpu_selection import gpu_of_worker
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.messages.workers import Counters, Mode, instance_id
from metabonk.orchestrator.processes.supervisor import ChildSpec
from metabonk.settings import Settings
from metabonk.system.fork_server import ForkServer
from metabonk.system.process_ids import PARENT

LEARNER = "learner"
INFERENCE = "inference-"
"""Beginning of the names of inference servers."""

ORCHESTRATOR_LOG = "orchestrator.log"
FORK_SERVER_LOG = "fork-server.log"
RENDERERS_LOG = "renderers.log"
GUEST = "metabonk.cli.guest"
PRELOADED = ("metabonk.cli.worker", "metabonk.cli.render", GUEST)


def child_specs(
    settings: Settings,
    settings_file: Path,
    run_dir: Path,
    gpus: Sequence[Gpu],
    counters: Callable[[int], Counters],
) -> Iterator[ChildSpec]:
    """Yield the first worker, the learner, the inference servers, and the other workers.

    The first stream comes first. Each child sees one GPU: workers are spread over them, the learner
    has the first, and those that have workers an inference server. The head of a fleet on many
    machines runs the learner alone.

    Args:
        settings: of the fleet.
        settings_file: holds them for the children.
        run_dir: folder of the run.
        gpus: usable ones.
        counters: returns where a worker continues to count; asked at each of its starts.
    """
    common = common_arguments(settings_file, run_dir)
    here = 0 if settings.nodes.count else settings.workers
    learner = metabonk(LEARNER, *common)
    if not here and settings.mode is Mode.TRAIN:
        yield _child(settings, LEARNER, lambda: learner, gpu_of_worker(0, gpus))
    for index in range(here):
        yield worker_spec(settings, common, index, index, gpus, counters)
        if index == 0 and settings.mode is Mode.TRAIN:
            yield _child(settings, LEARNER, lambda: learner, gpu_of_worker(0, gpus))
            yield from inference_specs(settings, common, gpus)


def worker_spec(
    settings: Settings,
    common: tuple[str, ...],
    index: int,
    seat: int,
    gpus: Sequence[Gpu],
    counters: Callable[[int], Counters],
) -> ChildSpec:
    """Return a worker.

    Args:
        settings: of the fleet.
        common: arguments of every child.
        index: of the worker.
        seat: on this machine; chooses the GPU.
        gpus: usable ones.
        counters: returns where the worker continues to count; asked at each of its starts.
    """
    servers = inference_gpus(settings, gpus)
    inference = ("--inference", str(seat % len(servers))) if servers else ()

    def command() -> tuple[str, ...]:
        return metabonk(
            *("worker", *common, "--index", str(index)),
            *("--counted", str(counters(index)), *inference),
        )

    return _child(settings, instance_id(index), command, gpu_of_worker(seat, gpus))


def inference_specs(
    settings: Settings, common: tuple[str, ...], gpus: Sequence[Gpu]
) -> Iterator[ChildSpec]:
    """Yield the inference servers."""

    def command(number: int) -> tuple[str, ...]:
        return metabonk("inference-server", *common, "--number", str(number))

    for number, gpu in enumerate(inference_gpus(settings, gpus)):
        yield _child(settings, f"{INFERENCE}{number}", partial(command, number), gpu)


def _child(
    settings: Settings, name: str, command: Callable[[], tuple[str, ...]], gpu: Gpu | None
) -> ChildSpec:
    log = settings.paths.logs / f"{name}.log"
    return ChildSpec(name, command, log, environment=gpu.environment if gpu else {}, forked=True)


def common_arguments(settings_file: Path, run_dir: Path) -> tuple[str, ...]:
    """Return the arguments that every child takes."""
    return (
        *("--settings", str(settings_file.absolute())),
        *("--run", str(run_dir.absolute())),
        *(PARENT, str(os.getpid())),
    )


def inference_gpus(settings: Settings, gpus: Sequence[Gpu]) -> Sequence[Gpu | None]:
    """Return the GPU of each inference server, or None for one on the CPU.

    Workers are spread over GPUs in turn, and so over inference servers.

    Args:
        settings: of the fleet.
        gpus: usable ones.
    """
    if settings.mode is not Mode.TRAIN or settings.worker.inference == "own":
        return ()
    if not gpus:
        return (None,) if settings.worker.inference == "shared" else ()
    return gpus[: settings.workers]


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
