"""``metabonk nvenc status`` and ``metabonk nvenc cleanup``: encoder sessions and their holders.

They work whether or not the fleet runs, without a GPU, and inside a container: leases come from the
slot files, other programs' sessions from NVML, workers' states over HTTP.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

import httpx
from pydantic import TypeAdapter, ValidationError

from metabonk.cli import cleanup
from metabonk.cli.inspection import fleets_with_nodes, inspection_settings
from metabonk.doctor.gpus import gpu_problems
from metabonk.encoding.ladder import RUNGS, PoolKind, ProbeResult, unavailable
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Holder, Pools, open_pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import Usage
from metabonk.messages.sessions import PoolStatus
from metabonk.messages.workers import WorkerStatus, instance_id
from metabonk.printable import printable
from metabonk.settings import Settings
from metabonk.settings.runtime_dir import runtime_dir

WORKER_TIMEOUT_S = 1.0
_POOLS = TypeAdapter(list[PoolStatus])
_WORKERS = TypeAdapter(dict[str, WorkerStatus])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``status`` and ``cleanup``."""
    commands = parser.add_subparsers(dest="nvenc_command", required=True)
    status = commands.add_parser("status", help="sessions, their holders, and every worker")
    status.add_argument(
        "--workers", type=int, help="number of workers to query (default: the setting)"
    )
    cleanup.add_arguments(
        commands.add_parser("cleanup", help="leftovers of dead workers; --kill removes them")
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen command.

    Raises:
        MetaBonkError: the runtime or slot directory can't be used.
    """
    is_status = arguments.nvenc_command == "status"
    settings = inspection_settings()
    if is_status and arguments.workers is not None:
        settings = settings.model_copy(update={"workers": arguments.workers})
    pools = open_pools(settings)
    for line in status_lines(settings, pools) if is_status else session_lines(settings, pools):
        sys.stdout.write(printable(line) + "\n")
    return 0 if is_status else cleanup.run(arguments, settings, pools)


def status_lines(settings: Settings, pools: Pools) -> Iterator[str]:
    """Yield the whole report: sessions, encoders, problems, workers."""
    yield from session_lines(settings, pools)
    yield from _encoder_lines(pools, settings.stream.engine)
    for problem in gpu_problems(pools, ProbeCache(pools.folder)):
        yield f"Problem: {problem.message} → {problem.action}"
    if fleets := fleets_with_nodes(runtime_dir(settings.paths.runtime)):
        for fleet in fleets:
            yield from _reported_lines(fleet.settings)
    else:
        for index in range(settings.workers):
            yield _worker_line(settings, index)


def session_lines(settings: Settings, pools: Pools) -> Iterator[str]:
    """Yield the sessions and their holders: the configured GPU first, then each pool's GPUs."""
    inventory, index = pools.inventory, settings.nvml.gpu_index
    configured = inventory.by_index.get(index)
    if configured:
        yield _gpu_line(configured)
    else:
        indices = ", ".join(str(gpu.index) for gpu in inventory.gpus)
        reason = inventory.unavailable or f"there is no GPU {index}, only {indices}"
        yield f"NVML: gpu_index={index} name=none ({reason}) nvenc_used=0"
    usages = {pool.name: pool.usage() for pool in pools.all()}
    notes = [usage.note for usage in usages.values() if usage.note is not None]
    limits = ", ".join(f"{usage.pool} {usage.used} of {usage.limit}" for usage in usages.values())
    yield f"Active Sessions: {sum(usage.used for usage in usages.values())} ({limits})"
    for pool, gpus in sorted(pools.nvenc_pools(), key=lambda each: configured not in each[1]):
        for gpu in sorted(gpus, key=lambda gpu: gpu is not configured):
            if gpu is not configured:
                yield _gpu_line(gpu)
            yield f"  limit of GPU {gpu.index}: {pools.limit(gpu).reason}"
        usage = usages.pop(pool.name)
        yield from _holder_lines(usage)
        yield from _external_lines(gpus, usage)
    for usage in usages.values():
        yield from _holder_lines(usage)
    for note in notes:
        yield f"Problem: counted without the pool's lock: {note}"


def _gpu_line(gpu: Gpu) -> str:
    return f"NVML: gpu_index={gpu.index} name={gpu.name} nvenc_used={gpu.session_count}"


def _encoder_lines(pools: Pools, engine: str) -> Iterator[str]:
    """Yield each rung of the ladder with what is known about it here; NVENC's for each GPU."""
    probes, gpus, reasons = ProbeCache(pools.folder), pools.inventory.gpus, unavailable(engine)
    for rung in RUNGS:
        if rung.backend in reasons:
            yield f"Encoder {rung.backend}: out: {reasons[rung.backend]}"
        elif rung.pool_kind is not PoolKind.NVENC:
            yield f"Encoder {rung.backend}: {_probe_state(probes.cached(rung, None))}"
        elif not gpus:
            yield f"Encoder {rung.backend}: out: {pools.inventory.unavailable}"
        else:
            for gpu in gpus:
                where = "" if len(gpus) == 1 else f" on GPU {gpu.index}"
                reason = pools.no_nvenc_reason(gpu.index)
                state = _probe_state(probes.cached(rung, gpu), reason)
                yield f"Encoder {rung.backend}{where}: {state}"


def _probe_state(result: ProbeResult | None, unprobed_reason: str | None = None) -> str:
    if result is None:
        return f"out: {unprobed_reason}" if unprobed_reason else "not probed yet on this host"
    return "works" if result.works else f"out: {result.reason}"


def _holder_lines(usage: Usage) -> Iterator[str]:
    for holder in usage.holders:
        where = "" if holder.gpu is None else f" on GPU {holder.gpu}"
        yield f"  {usage.pool} {holder}{where}, {_age(holder)}"


def _age(holder: Holder) -> str:
    return f"for {time.time() - holder.since:.0f} s" if holder.since else "since an unknown time"


def _external_lines(gpus: Sequence[Gpu], usage: Usage) -> Iterator[str]:
    """Yield the sessions of other programs, by pid if the driver's pids are valid here."""
    our_pids = {holder.pid for holder in usage.holders}
    external = [session for gpu in gpus for session in gpu.sessions if session.pid not in our_pids]
    if len(external) == usage.external:
        for session in external:
            yield (
                f"  other program: pid {session.pid}, {session.width}×{session.height} at "
                f"{session.fps} fps"
            )
    elif usage.external:
        yield f"  other programs: {usage.external} sessions; the driver reports no pids here"


def _worker_line(settings: Settings, index: int) -> str:
    port = settings.worker_port(index)
    start = f"- worker={index} port={port} instance_id={instance_id(index)}"
    try:
        answer = httpx.get(
            f"http://{settings.internal_authority(port)}/status",
            timeout=WORKER_TIMEOUT_S,
            trust_env=False,
        )
        status = WorkerStatus.model_validate_json(answer.content)
    except httpx.HTTPError:
        return f"{start} backend= active=false nvenc_used= (not running)"
    except ValidationError:
        return f"{start} backend= active=false nvenc_used= (another program uses this port)"
    if status.instance_id != instance_id(index):
        # A hub's, whose sessions are listed with all others.
        return f"{start} backend= active=false nvenc_used= ({status.instance_id} uses this port)"
    return _status_line(start, status)


def _reported_lines(settings: Settings) -> Iterator[str]:
    """Yield the sessions of a fleet's nodes, and its workers, as its head or agent knows them."""
    api = f"http://{settings.internal_authority(settings.ports.orchestrator)}"
    try:
        with httpx.Client(base_url=api, timeout=WORKER_TIMEOUT_S, trust_env=False) as client:
            pools = _POOLS.validate_json(client.get("/api/sessions").raise_for_status().content)
            workers = _WORKERS.validate_json(client.get("/workers").raise_for_status().content)
    except (httpx.HTTPError, ValidationError) as error:
        yield f"Problem: the fleet's workers are not known: {api} does not answer: {error}"
        return
    for pool in pools:
        if pool.node is not None:
            holders = ", ".join(holder.instance_id or "other program" for holder in pool.holders)
            held = f" ({holders})" if holders else ""
            yield f"Node {pool.node}: {pool.pool} {pool.used} of {pool.limit}{held}"
    for name, status in workers.items():
        node = "" if status.node is None else f" node={status.node}"
        yield _status_line(f"- worker={status.worker_index}{node} instance_id={name}", status)


def _status_line(start: str, status: WorkerStatus) -> str:
    used = "" if status.nvenc_used is None else status.nvenc_used
    active = "true" if status.stream_backend else "false"
    note = f" ({status.stream_state}: {status.stream_error})" if status.stream_error else ""
    if status.stream_quality:
        note = f" ({status.stream_quality})"
    gpu = "" if status.gpu_index is None else f" gpu={status.gpu_index}"
    return f"{start} backend={status.stream_backend} active={active} nvenc_used={used}{gpu}{note}"
