"""``metabonk nvenc status`` and ``metabonk nvenc cleanup``: who holds encoder sessions.

They work while the fleet runs, while it is down, without a GPU and inside a container: leases are
read from the slot files, other programs' sessions from NVML, workers over HTTP.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

import httpx
from pydantic import ValidationError

from metabonk.cli import cleanup
from metabonk.doctor.gpus import gpu_problems
from metabonk.encoding.ladder import RUNGS, PoolKind, ProbeResult, missing
from metabonk.encoding.probe import ProbeCache
from metabonk.encoding.sessions import Holder, Pools, open_pools
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.encoding.sessions.pool import Usage
from metabonk.messages import WorkerStatus
from metabonk.settings import Settings, load_settings

WORKER_TIMEOUT_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares ``status`` and ``cleanup``."""
    commands = parser.add_subparsers(dest="nvenc_command", required=True)
    status = commands.add_parser("status", help="sessions, their holders and every worker")
    status.add_argument("--workers", type=int, help="how many workers to ask (default: setting)")
    cleanup.add_arguments(
        commands.add_parser("cleanup", help="what dead workers left behind; --kill removes it")
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the chosen command.

    Raises:
        MetaBonkError: a setting or the slot directory can't be used.
    """
    asked = {"workers": arguments.workers} if arguments.nvenc_command == "status" else {}
    settings = load_settings(asked)
    pools = open_pools(settings)
    if arguments.nvenc_command == "status":
        for line in status_lines(settings, pools):
            sys.stdout.write(line + "\n")
        return 0
    for line in session_lines(settings, pools):
        sys.stdout.write(line + "\n")
    return cleanup.run(arguments, settings, pools)


def status_lines(settings: Settings, pools: Pools) -> Iterator[str]:
    """The report, line by line."""
    yield from session_lines(settings, pools)
    yield from _encoder_lines(pools, settings.stream.engine)
    for found in gpu_problems(pools, ProbeCache(pools.folder)):
        yield f"Problem: {found.what} → {found.do}"
    for index in range(settings.workers):
        yield _worker_line(settings, index)


def session_lines(settings: Settings, pools: Pools) -> Iterator[str]:
    """Who holds encoder sessions: the GPU that was asked for, then every pool with its GPUs."""
    census, index = pools.census, settings.nvml.gpu_index
    asked = census.by_index.get(index)
    if asked:
        yield _gpu_line(asked)
    else:
        there = ", ".join(str(gpu.index) for gpu in census.gpus)
        why = census.unavailable or f"there is no GPU {index}, but {there}"
        yield f"NVML: gpu_index={index} name=none ({why}) nvenc_used=0"
    usages = {pool.name: pool.usage() for pool in pools.all()}
    limits = ", ".join(f"{usage.pool} {usage.used} of {usage.limit}" for usage in usages.values())
    yield f"Active Sessions: {sum(usage.used for usage in usages.values())} ({limits})"
    for pool, gpus in sorted(pools.shared(), key=lambda each: asked not in each[1]):
        for gpu in sorted(gpus, key=lambda gpu: gpu is not asked):
            if gpu is not asked:
                yield _gpu_line(gpu)
            yield f"  limit of GPU {gpu.index}: {pools.limit(gpu).because}"
        usage = usages.pop(pool.name)
        yield from _holder_lines(usage)
        yield from _foreign_lines(gpus, usage)
    for usage in usages.values():
        yield from _holder_lines(usage)


def _gpu_line(gpu: Gpu) -> str:
    return f"NVML: gpu_index={gpu.index} name={gpu.name} nvenc_used={gpu.session_count}"


def _encoder_lines(pools: Pools, engine: str) -> Iterator[str]:
    """Every rung of the ladder and what is known of it on this host; NVENC's on each GPU."""
    proofs, gpus, out = ProbeCache(pools.folder), pools.census.gpus, missing(engine)
    for rung in RUNGS:
        if rung.backend in out:
            yield f"Encoder {rung.backend}: out: {out[rung.backend]}"
        elif rung.pool_kind is not PoolKind.NVENC:
            yield f"Encoder {rung.backend}: {_known(proofs.known(rung, None))}"
        elif not gpus:
            yield f"Encoder {rung.backend}: out: {pools.census.unavailable}"
        else:
            for gpu in gpus:
                where = "" if len(gpus) == 1 else f" on GPU {gpu.index}"
                known = _known(proofs.known(rung, gpu), pools.why_no_nvenc(gpu.index))
                yield f"Encoder {rung.backend}{where}: {known}"


def _known(proof: ProbeResult | None, why_untried: str | None = None) -> str:
    if proof is None:
        return f"out: {why_untried}" if why_untried else "not tried yet on this host"
    return "works" if proof.works else f"out: {proof.reason}"


def _holder_lines(usage: Usage) -> Iterator[str]:
    for holder in usage.holders:
        where = "" if holder.gpu is None else f" on GPU {holder.gpu}"
        yield f"  {usage.pool} {holder}{where}, {_age(holder)}"


def _age(holder: Holder) -> str:
    return f"for {time.time() - holder.since:.0f} s" if holder.since else "since an unknown time"


def _foreign_lines(gpus: Sequence[Gpu], usage: Usage) -> Iterator[str]:
    """Sessions of other programs; by pid where the driver's pids are those of this machine."""
    ours = {holder.pid for holder in usage.holders}
    theirs = [session for gpu in gpus for session in gpu.sessions if session.pid not in ours]
    if len(theirs) == usage.foreign:
        for session in theirs:
            yield (
                f"  other program: pid {session.pid}, {session.width}×{session.height} at "
                f"{session.fps} fps"
            )
    elif usage.foreign:
        yield (
            f"  other programs: {usage.foreign} sessions, whose pids the driver does not tell here"
        )


def _worker_line(settings: Settings, index: int) -> str:
    port = settings.worker_port(index)
    start = f"- worker={index} port={port} instance_id=omega-{index}"
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
        return f"{start} backend= active=false nvenc_used= (another program answers there)"
    used = "" if status.nvenc_used is None else status.nvenc_used
    active = "true" if status.stream_backend else "false"
    why = f" ({status.stream_state}: {status.stream_error})" if status.stream_error else ""
    if status.stream_quality:
        why = f" ({status.stream_quality})"
    gpu = "" if status.gpu_index is None else f" gpu={status.gpu_index}"
    return f"{start} backend={status.stream_backend} active={active} nvenc_used={used}{gpu}{why}"
