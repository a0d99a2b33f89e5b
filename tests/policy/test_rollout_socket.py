"""Rollouts through shared memory, from the first byte to the death of either end."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from metabonk.policy import rollout_socket
from metabonk.policy.rollout_socket import Answer, RolloutListener, RolloutSocket
from tests.support.serving import free_port
from tests.support.waiting import until

MAX_BYTES = 1 << 20
SENDER = """
import sys, time
from metabonk.policy.rollout_socket import RolloutSocket
sent = RolloutSocket(int(sys.argv[1]))
sent.send(b"rollout")
print("sent", flush=True)
time.sleep(600)
"""


class Listening:
    """A listener, and what it has received."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[bytes] = []
        self.answer = Answer(202)
        self.listener = RolloutListener(self.port, MAX_BYTES, self._receive)
        self.listener.start()

    def _receive(self, rollout: NDArray[np.uint8], _: float) -> Answer:
        self.received.append(bytes(rollout))
        return self.answer


@pytest.fixture
def listening() -> Iterator[Listening]:
    made = Listening()
    yield made
    made.listener.close()


def descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len([*Path("/proc/self/fd").iterdir()])


def test_rollouts_of_any_size_arrive_whole(listening: Listening):
    sent = [os.urandom(size) for size in (10, 100_000, 99_999, 1, MAX_BYTES)]
    with contextlib.closing(RolloutSocket(listening.port)) as client:
        assert [client.send(rollout) for rollout in sent] == [Answer(202)] * len(sent)
    assert listening.received == sent


def test_a_refusal_says_why(listening: Listening):
    listening.answer = Answer(409, "it is of another game, größer")
    with contextlib.closing(RolloutSocket(listening.port)) as client:
        assert client.send(b"rollout") == listening.answer
        assert client.send(bytes(MAX_BYTES + 1)).status == 413
    assert listening.received == [b"rollout"]


def test_nobody_listens():
    with pytest.raises(ConnectionRefusedError):
        RolloutSocket(free_port())


def test_one_port_has_one_listener(listening: Listening):
    with pytest.raises(OSError, match="in use"):
        RolloutListener(listening.port, MAX_BYTES, lambda *_: Answer(202))


def test_a_sender_that_is_killed_leaves_nothing_behind(listening: Listening):
    before = descriptors()
    command = [sys.executable, "-c", SENDER, str(listening.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sender:
        assert sender.stdout is not None and sender.stdout.readline() == b"sent\n"
        assert listening.listener.connections == 1
        sender.kill()
    until("its connection has ended", lambda: listening.listener.connections == 0)
    assert descriptors() == before
    with contextlib.closing(RolloutSocket(listening.port)) as client:
        assert client.send(b"another") == Answer(202)


def test_a_sender_notices_that_the_listener_has_ended(listening: Listening):
    with contextlib.closing(RolloutSocket(listening.port)) as client:
        client.send(b"rollout")
        listening.listener.close()
        with pytest.raises(ConnectionError):
            client.send(b"rollout")


def test_a_sender_gives_up_on_a_listener_that_hangs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rollout_socket, "TIMEOUT_S", 0.05)
    gate = threading.Event()

    def hang(*_: object) -> Answer:
        gate.wait(20)
        return Answer(202)

    port = free_port()
    listener = RolloutListener(port, MAX_BYTES, hang)
    listener.start()
    with contextlib.closing(RolloutSocket(port)) as client, pytest.raises(TimeoutError):
        client.send(b"rollout")
    gate.set()
    listener.close()


def test_memory_that_might_shrink_is_not_read(
    listening: Listening, caplog: pytest.LogCaptureFixture
):
    descriptor = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.truncate(descriptor, 4096)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(f"\0metabonk-rollouts-{listening.port}")
        socket.send_fds(client, [(10).to_bytes(8, "little")], [descriptor])
        assert client.recv(100) == b""
    os.close(descriptor)
    until("it is logged", lambda: "not sealed" in caplog.text)
    assert listening.received == []


@pytest.mark.parametrize("message", [(4096).to_bytes(8, "little"), b"x"])
def test_messages_that_make_no_sense_are_answered_or_end_the_connection(
    listening: Listening, message: bytes
):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(f"\0metabonk-rollouts-{listening.port}")
        client.send(message)
        assert client.recv(100)[:3] in (b"400", b"")
    assert listening.received == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_another_user_is_refused(listening: Listening, caplog: pytest.LogCaptureFixture):
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.connect(f"\0metabonk-rollouts-{listening.port}")
        os._exit(0 if client.recv(100) == b"" else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    until("it is logged", lambda: "of user 65534" in caplog.text)
