"""``metabonk nvenc status`` and ``metabonk nvenc cleanup``: who holds encoder sessions.

They work while the fleet runs, while it is down, without a GPU and inside a container: leases are
read from the slot files, other programs' sessions from NVML, workers over HTTP.
"""

import argparse
import sys
import time
from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from metabonk.cli import cleanup
from metabonk.doctor.gpus import gpu_problems
from metabonk.encoding.inventory import missing
from metabonk.encoding.ladder import RUNGS, Scarcity
from metabonk.encoding.proofs import Proofs
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
    yield from _encoder_lines(pools, settings.nvml.gpu_index, settings.stream.engine)
    for found in gpu_problems(pools, Proofs(pools.folder)):
        yield f"Problem: {found.what} → {found.do}"
    for index in range(settings.workers):
        yield _worker_line(settings, index)


def session_lines(settings: Settings, pools: Pools) -> Iterator[str]:
    """Who holds encoder sessions: leases, then other programs."""
    gpu = pools.census.by_index.get(settings.nvml.gpu_index)
    used = gpu.session_count if gpu else 0
    name = gpu.name if gpu else f"none ({pools.census.unavailable or 'no GPU of this index'})"
    yield f"NVML: gpu_index={settings.nvml.gpu_index} name={name} nvenc_used={used}"
    usages = [pool.usage() for pool in pools.all()]
    limits = ", ".join(f"{usage.pool} {usage.used} of {usage.limit}" for usage in usages)
    yield f"Active Sessions: {sum(usage.used for usage in usages)} ({limits})"
    if gpu:
        yield f"  limit of GPU {gpu.index}: {pools.limit(gpu).because}"
    for usage in usages:
        yield from _holder_lines(usage)
    if gpu:
        yield from _foreign_lines(gpu, usages)


def _encoder_lines(pools: Pools, gpu_index: int, engine: str) -> Iterator[str]:
    """Every rung of the ladder and what is known of it on this host."""
    proofs, gpu = Proofs(pools.folder), pools.census.by_index.get(gpu_index)
    out = missing(engine)
    for rung in RUNGS:
        proof = proofs.known(rung, gpu)
        if rung.backend in out:
            known = f"out: {out[rung.backend]}"
        elif rung.scarcity is Scarcity.NVENC and gpu is None:
            known = f"out: {pools.census.unavailable or f'there is no GPU {gpu_index}'}"
        elif proof is None:
            known = "not tried yet on this host"
        else:
            known = "works" if proof.works else f"out: {proof.reason}"
        yield f"Encoder {rung.backend}: {known}"


def _holder_lines(usage: Usage) -> Iterator[str]:
    for holder in usage.holders:
        yield f"  {usage.pool} {holder}, {_age(holder)}"


def _age(holder: Holder) -> str:
    return f"for {time.time() - holder.since:.0f} s" if holder.since else "since an unknown time"


def _foreign_lines(gpu: Gpu, usages: list[Usage]) -> Iterator[str]:
    """Sessions of other programs; by pid where the driver's pids are those of this machine."""
    foreign = sum(usage.foreign for usage in usages)
    ours = {holder.pid for usage in usages for holder in usage.holders}
    theirs = [session for session in gpu.sessions if session.pid not in ours]
    if len(theirs) == foreign:
        for session in theirs:
            yield (
                f"  other program: pid {session.pid}, {session.width}×{session.height} at "
                f"{session.fps} fps"
            )
    elif foreign:
        yield f"  other programs: {foreign} sessions, whose pids the driver does not tell here"


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
    return f"{start} backend={status.stream_backend} active={active} nvenc_used={used}{why}"
