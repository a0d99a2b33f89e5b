"""Running fleets whose record was lost, found by the port that their orchestrator listens on.

The runtime folder may be removed under a fleet, and an orchestrator that is stopped can't make its
record anew.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil
from pydantic import ValidationError

from metabonk.messages.fleet import Fleet
from metabonk.orchestrator.lock import FILE_PREFIX, FleetRecord
from metabonk.system.process_ids import ProcessId, boot_id, process_id

ANSWER_TIMEOUT_S = 1.0

MODULE = "metabonk.cli.main"
PROGRAM = "metabonk"
COMMANDS = ("start", "watch", "hub")

REMOVED = ".lock (deleted)"
"""End of the name of a removed file that is still open (proc(5), /proc/<pid>/fd)."""


def unrecorded_fleets(
    port: int, *, folders: Sequence[Path], everywhere: bool, known: set[int]
) -> Iterator[FleetRecord]:
    """Yield a record of each fleet of this user that is not known yet.

    Args:
        port: of the orchestrator.
        folders: runtime folders that records may have been in.
        everywhere: also on other ports, those whose record was removed from one of ``folders``.
        known: pids of orchestrators that have a record.
    """
    seen = set(known)
    for connection in psutil.net_connections("tcp"):
        address, pid = connection.laddr, connection.pid
        if connection.status != psutil.CONN_LISTEN or not address or pid is None or pid in seen:
            continue
        if not _is_own(pid):
            continue
        is_asked = address.port == port
        if ((is_asked or everywhere) and _has_lost_record(pid, folders)) or (
            is_asked and (is_orchestrator(pid) or _answers_as_fleet(address.ip, address.port))
        ):
            seen.add(pid)
            if (process := process_id(pid)) is not None:
                yield FleetRecord(
                    process=process, boot=boot_id(), page="unknown", children=_sessions(pid)
                )


def is_orchestrator(pid: int) -> bool:
    """Tell whether a process was started as ``metabonk start``, or as a hub."""
    try:
        arguments = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return any(
        (word == MODULE or Path(word).name == PROGRAM) and following in COMMANDS
        for word, following in itertools.pairwise(arguments)
    )


def _is_own(pid: int) -> bool:
    try:
        return psutil.Process(pid).uids().real == os.getuid()
    except psutil.Error:
        return False


def _has_lost_record(pid: int, folders: Sequence[Path]) -> bool:
    """Tell whether the process holds the lock of a removed record."""
    with contextlib.suppress(OSError):  # Ended meanwhile, or another user's.
        for link in Path(f"/proc/{pid}/fd").iterdir():
            file = link.readlink()
            is_removed = file.name.endswith(REMOVED) and file.name.startswith(FILE_PREFIX)
            if is_removed and file.parent in folders:
                return True
    return False


def _answers_as_fleet(host: str, port: int) -> bool:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        answer = httpx.get(
            f"http://{authority}/api/fleet", timeout=ANSWER_TIMEOUT_S, trust_env=False
        )
        Fleet.model_validate_json(answer.raise_for_status().content)
    except (httpx.HTTPError, ValidationError):
        return False
    return True


def _sessions(pid: int) -> dict[str, ProcessId]:
    """Return the leaders of the POSIX sessions below a process."""
    found = {}
    with contextlib.suppress(psutil.Error, ProcessLookupError):  # Ended meanwhile.
        for child in psutil.Process(pid).children(recursive=True):
            process = process_id(child.pid)
            if process is not None and os.getsid(child.pid) == child.pid:
                found[f"process {child.pid}"] = process
    return found
