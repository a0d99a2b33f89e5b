"""Network namespaces behind a bridge, each with a slow and lossy line to it.

A kernel need not have ``netem``: each line is two TAP interfaces, between which a process of this
module carries the frames, later and not all of them.
"""

import contextlib
import fcntl
import multiprocessing
import os
import random
import selectors
import signal
import struct
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from metabonk.system.process import die_with_parent

HEAD = "10.77.77.1"
BRIDGE = "mb-bridge"
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
MAX_FRAME_BYTES = 1 << 16
FRAMES_AT_ONCE = 64

Line = tuple[int, int]
"""File descriptors of the two ends."""


@contextlib.contextmanager
def namespaces(names: Sequence[str], *, delay_s: float = 0.0, loss: float = 0.0) -> Iterator[None]:
    """Make namespaces ``mb-<name>`` at 10.77.77.11 and so on; ``HEAD`` is the address outside.

    Args:
        names: of the namespaces.
        delay_s: of a frame, in either direction; without delay and loss the kernel carries them.
        loss: share of the frames that are dropped, in either direction.
    """
    # As on Ctrl-C: a run that is stopped leaves no namespace behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as cleanups:
        _ip("link", "add", BRIDGE, "type", "bridge")
        cleanups.callback(_ip, "link", "del", BRIDGE)
        _ip("addr", "add", f"{HEAD}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        lines: list[Line] = []
        for number, name in enumerate(names):
            space = f"mb-{name}"
            _ip("netns", "add", space)
            cleanups.callback(_ip, "netns", "del", space)
            if delay_s or loss:
                lines.append((_open_tap(space), _open_tap("mb-node")))
                _ip("link", "set", "mb-node", "netns", space, "name", "node")
            else:
                _ip("link", "add", space, "type", "veth", "peer", "name", "node", "netns", space)
            _ip("link", "set", space, "master", BRIDGE, "up")
            _ip("-n", space, "addr", "add", f"10.77.77.{11 + number}/24", "dev", "node")
            _ip("-n", space, "link", "set", "node", "up")
            _ip("-n", space, "link", "set", "lo", "up")
        if lines:
            cleanups.enter_context(_carried(lines, delay_s, loss))
        yield


def inside(name: str) -> tuple[str, ...]:
    """Return the command that runs another one in a namespace."""
    return ("ip", "netns", "exec", f"mb-{name}")


@contextlib.contextmanager
def cut_off(name: str) -> Iterator[None]:
    """Let no frame pass between a namespace and the others."""
    _ip("link", "set", f"mb-{name}", "down")
    try:
        yield
    finally:
        _ip("link", "set", f"mb-{name}", "up")


def bytes_carried(names: Sequence[str]) -> dict[str, int]:
    """Return the bytes that each namespace has exchanged with the others."""
    counters = {name: Path(f"/sys/class/net/mb-{name}/statistics") for name in names}
    return {
        name: sum(int((folder / way).read_text()) for way in ("rx_bytes", "tx_bytes"))
        for name, folder in counters.items()
    }


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _open_tap(name: str) -> int:
    """Make a TAP interface that lasts as long as its file is open, and return that."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


@contextlib.contextmanager
def _carried(lines: Sequence[Line], delay_s: float, loss: float) -> Iterator[None]:
    """Carry frames in a process for the block; it owns the interfaces from then on."""
    carrier = multiprocessing.get_context("fork").Process(
        target=_carry, args=(lines, delay_s, loss, os.getpid()), name="carrier"
    )
    carrier.start()
    for end in (end for line in lines for end in line):
        os.close(end)
    try:
        yield
    finally:
        carrier.terminate()
        carrier.join()


def _carry(lines: Sequence[Line], delay_s: float, loss: float, parent: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)
    os.nice(-10)  # It stands for the network, which waits for no process.
    others: Mapping[int, int] = {one: other for line in lines for one, other in (line, line[::-1])}
    chance = random.Random(0)
    waiting: deque[tuple[float, int, bytes]] = deque()
    with selectors.DefaultSelector() as selector:
        for end in others:
            selector.register(end, selectors.EVENT_READ)
        while True:
            timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            for key, _ in selector.select(timeout):
                for frame in _frames(key.fd):
                    if chance.random() >= loss:
                        waiting.append((time.monotonic() + delay_s, others[key.fd], frame))
            while waiting and waiting[0][0] <= time.monotonic():
                _, end, frame = waiting.popleft()
                # An interface that is down takes none.
                with contextlib.suppress(OSError):
                    os.write(end, frame)


def _frames(end: int) -> Iterator[bytes]:
    read = partial(os.read, end, MAX_FRAME_BYTES)
    with contextlib.suppress(BlockingIOError):
        for _ in range(FRAMES_AT_ONCE):
            yield read()
