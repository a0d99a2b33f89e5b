"""Fork server: children fork from a process that has already imported what they need.

Importing PyTorch and the rest takes a worker 2.7 s of CPU, nine tenths of its start; a forked one
begins with all of it loaded and shares its memory (docs/adr/0012-fork-server.md).

``ForkServer`` is the supervisor's end, ``serve`` the other. They talk through a socket pair that
no other process can reach. The server forks twice and its first child ends at once, so the kernel
gives the second to the supervisor: it waits for it, signals it and dies with it as with any child
that ``subprocess`` started, and a server that dies takes nobody along.
"""

import contextlib
import ctypes
import logging
import os
import select
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from metabonk.system.json_text import from_json, to_json

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 5.0
"""A fork takes 10 to 50 ms, and up to 0.5 s on a machine that is ten times overloaded."""

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
READY = b"ready"
LARGEST_REQUEST = 65_536

TITLE_ROOM = 1024
"""Bytes that the server's command line keeps free for that of a child, which ``ps`` shows."""

# Fields of /proc/<pid>/stat counted from after the command's name (proc(5): state is field 3).
_ARGUMENTS_START, _ARGUMENTS_END = 45, 46


class ForkRequest(BaseModel, frozen=True):
    """A child to be forked; its log and its gate travel beside it, as descriptors."""

    command: tuple[str, ...]
    """``python -m MODULE ARGUMENT …``"""
    environment: Mapping[str, str]
    """Variables in which its environment differs from the server's."""


@dataclass(frozen=True, slots=True)
class ForkedChild:
    """A forked child of this process, with the part of ``Popen`` that a supervisor uses."""

    pid: int

    def wait(self) -> int:
        """Reap it, waiting for its end; return its exit code, negative for a signal."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


class ForkServer:
    """Starts children through a fork server, which runs from the first one on.

    Use it from a thread that lives as long as the process (see ``supervisor``).

    Args:
        command: of the server.
        log_file: to which its output is appended.
    """

    def __init__(self, command: Sequence[str], log_file: Path) -> None:
        self._command = (*command, "--title-room", " " * TITLE_ROOM)
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._ready = False
        self._unusable = False

    def poll(self) -> bool:
        """Return whether a child may be started now; launch a server where none runs.

        A server that ends before it is ready would always do so: from then on ``start_child``
        declines, and children import for themselves.

        Raises:
            OSError: this process lacks descriptors, memory or the like.
        """
        if self._process is not None and (code := self._process.poll()) is not None:
            self._unusable = self._unusable or not self._ready
            log.error("fork server ended with exit code %d; see %s", code, self._log_file)
            self.close()
        if self._process is None and not self._unusable:
            self._launch()
        if self._channel is not None and not self._ready:
            self._ready = _receive(self._channel, 0) == READY
        return self._ready or self._unusable

    def start_child(
        self, command: Sequence[str], environment: Mapping[str, str], output: int
    ) -> ForkedChild | None:
        """Fork a child that leads a session of its own; return None if the server can't.

        Args:
            command: ``python -m MODULE ARGUMENT …``.
            environment: variables in which its environment differs from this process's.
            output: descriptor of its standard output and error.
        """
        if not self._ready or self._process is None or self._channel is None:
            return None
        request = ForkRequest(command=tuple(command), environment=environment)
        pid = 0
        gate, opener = os.pipe()
        try:
            with _adopting_orphans():
                message = to_json(request)
                socket.send_fds(self._channel, [message], [output, gate])
                pid = int(_receive(self._channel, ANSWER_TIMEOUT_S) or b"0")
                if pid == 0:
                    raise TimeoutError(f"no answer within {ANSWER_TIMEOUT_S:g} s")
                # Fails if the kernel has not made it a child of this process.
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except OSError as error:
            log.error("fork server killed: %s", error)
            self._unusable = pid != 0
            # A child that it may have forked meanwhile finds the gate closed and ends.
            self._process.kill()
            self._process.wait()
            return None
        else:
            with contextlib.suppress(BrokenPipeError):
                os.write(opener, b"!")
            return ForkedChild(pid)
        finally:
            os.close(gate)
            os.close(opener)

    def close(self) -> None:
        """End the server; its children live on."""
        if self._process is not None and self._channel is not None:
            self._channel.close()
            self._process.kill()
            self._process.wait()
        self._process = self._channel = None
        self._ready = False

    def _launch(self) -> None:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, self._log_file.open("ab") as output:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=theirs.fileno(),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError:
            ours.close()
            raise
        self._channel = ours
        log.info("started the fork server (pid %d)", self._process.pid)


def serve(channel: socket.socket) -> tuple[str, ...] | None:
    """Fork a child for every request.

    Args:
        channel: to the supervisor.

    Returns:
        In each child its command; in the server None, when the supervisor has gone.
    """
    channel.send(READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, LARGEST_REQUEST, 2)
        if not message:
            return None
        request = from_json(ForkRequest, message)
        pid = _fork_orphan(request.command)
        if pid == 0:
            channel.close()
            _pass_gate(*descriptors)
            os.environ.update(request.environment)
            return request.command
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(str(pid).encode())


def _receive(channel: socket.socket, timeout_s: float) -> bytes:
    """Return one message; nothing if none has come in time or the other end has gone."""
    # Not select(): it takes no descriptor from 1024 on.
    readable = select.poll()
    readable.register(channel, select.POLLIN)
    return channel.recv(LARGEST_REQUEST) if readable.poll(1000 * timeout_s) else b""


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Make this process the parent of descendants that lose theirs.

    Only meanwhile: others, such as the engine of a worker that was killed, are init's to reap.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def adopt(yes: int) -> None:
        if libc.prctl(PR_SET_CHILD_SUBREAPER, yes, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")

    adopt(1)
    try:
        yield
    finally:
        adopt(0)


def _fork_orphan(command: Sequence[str]) -> int:
    """Fork a grandchild without a child between; return its pid, and 0 in it.

    It has been adopted then, leads its session and shows its command line. Without processes or
    memory to fork it ends the server with OSError or ValueError.
    """
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        with contextlib.suppress(OSError):
            if os.fork() == 0:
                os.setsid()
                _show_command(command)
                os.write(writer, str(os.getpid()).encode())
                os.close(reader)
                os.close(writer)
                return 0
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        pid = int(pipe.read())
    # The kernel gives a process's children away before it tells the parent of its end.
    os.waitpid(between, 0)
    return pid


def _pass_gate(output: int, gate: int) -> None:
    """Write to ``output`` and read nothing; end here if the supervisor does not know this child."""
    # The channel was standard input; the lowest free descriptor takes its place.
    os.open(os.devnull, os.O_RDONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    if not os.read(gate, 1):
        os._exit(0)
    os.close(gate)


def _show_command(command: Sequence[str]) -> None:
    """Overwrite the command line that ``ps`` shows and by which processes of ours are known."""
    text = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    fields = text[text.rindex(")") + 2 :].split()
    start, end = int(fields[_ARGUMENTS_START]), int(fields[_ARGUMENTS_END])
    if start == 0:
        return  # The kernel hides addresses here.
    line = os.fsencode("\0".join(command))[: end - start - 1]
    ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)
