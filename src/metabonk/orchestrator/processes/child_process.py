"""Starting one child process, and ending it with everything that it started.

Everything here must be called in one thread that lives as long as this process: the kernel ends
children with the *thread* that started them (PR_SET_PDEATHSIG).
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import BinaryIO, TypeAlias

from metabonk.settings.environment import environment_with
from metabonk.system.fork_server import ForkedChild, ForkServer
from metabonk.system.process_ids import ProcessId, members, send

ChildProcess: TypeAlias = subprocess.Popen[bytes] | ForkedChild


def start_child(
    command: Sequence[str],
    environment: Mapping[str, str],
    output: BinaryIO,
    fork_server: ForkServer | None = None,
) -> ChildProcess:
    """Start a child that leads a POSIX session of its own.

    Args:
        command: its command line; for a fork server ``python -m MODULE ARGUMENT …``.
        environment: variables that differ from this process's.
        output: file of its standard output and error.
        fork_server: forks it, unless that server declines.

    Raises:
        OSError: it can't be started.
    """
    if fork_server is not None:
        forked = fork_server.start_child(command, environment, output.fileno())
        if forked is not None:
            return forked
    return subprocess.Popen(
        command,
        env=environment_with(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def has_ended(child: ChildProcess) -> bool:
    """Tell whether a child has ended, without reaping it: its pid remains its own."""
    # Not poll(): until the child is reaped no other process can get its id.
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def kill_session(child: ChildProcess, leader: ProcessId | None) -> None:
    """Kill an unreaped child and all it started, processes that moved to another group included.

    Args:
        child: the child.
        leader: the same process; None if it was never identified.

    Raises:
        OSError: they can't be found.
    """
    # The child is unreaped, so the group's id is still its own.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for member in members(leader or ProcessId(pid=child.pid, started=0)):
        send(member, signal.SIGKILL)
