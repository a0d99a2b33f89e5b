"""An inference server and its workers, from the first message to the death of either end."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metabonk.errors import PolicyError
from metabonk.inference_server.server import InferenceServer
from metabonk.policy import ActorCritic, PolicySpec, encode_weights
from metabonk.policy.forward import Forward, forward
from metabonk.policy.inference_socket import InferenceSocket
from metabonk.policy.inference_wire import Hello
from metabonk.system import peers
from tests.support.inference import CAPACITY, Serving, ask, observations, states
from tests.support.specs import ALL_SPECS, OTHER_GAME, RECURRENT, TINY
from tests.support.waiting import until

WORKER = """
import sys, time
import numpy as np
from metabonk.policy.inference_socket import InferenceSocket
from metabonk.policy.inference_wire import Hello
from tests.support.inference import ask, CAPACITY, Serving, observations, states
from tests.support.specs import TINY
connection = InferenceSocket(sys.argv[1], TINY, 4)
observation = np.zeros(TINY.observation_shape, np.uint8)
connection.request([observation], np.zeros((1, 0), np.float32))
connection.answer()
print("answered", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def serving(spec: PolicySpec = TINY) -> Iterator[Serving]:
    made = Serving(spec)
    try:
        yield made
    finally:
        made.close()


def assert_equal(got: Forward, expected: Forward) -> None:
    assert got.version == expected.version
    for mine, theirs in zip(got[:3], expected[:3], strict=True):
        assert mine.shape == theirs.shape
        assert np.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: spec.game + str(spec.action_kind))
def test_it_answers_what_a_workers_own_network_would(spec: PolicySpec):
    with serving(spec) as server, contextlib.closing(server.connect()) as worker:
        for count in (1, CAPACITY, 2):
            seen, memory = observations(spec, count, count), states(spec, count, count)
            expected = forward(server.network, seen, memory)
            assert_equal(ask(worker, seen, memory), expected)


def test_whatever_waits_is_answered_by_one_pass():
    with serving(RECURRENT) as server, contextlib.ExitStack() as stack:
        workers = [stack.enter_context(contextlib.closing(server.connect())) for _ in range(3)]
        server.gate.clear()
        got: dict[int, Forward] = {}

        def ask_one(number: int) -> None:
            count = number + 1
            got[number] = ask(
                workers[number],
                observations(RECURRENT, count, number),
                states(RECURRENT, count, number),
            )

        first, *others = (threading.Thread(target=ask_one, args=(number,)) for number in range(3))
        first.start()
        assert server.at_gate.wait(20)
        for thread in others:
            thread.start()
        until("the others wait", lambda: unread(server) == 2)
        server.gate.set()
        for thread in (first, *others):
            thread.join()
        assert [sorted(batch) for batch in server.batches] == [[1], [2, 3]]
        for number, answer in got.items():
            count = number + 1
            seen, memory = observations(RECURRENT, count, number), states(RECURRENT, count, number)
            assert_equal(answer, forward(server.network, seen, memory))


def unread(server: Serving) -> int:
    """Return the number of connections with a message that the server has not read."""
    return len(select.select([*server.server._slabs], [], [], 0)[0])


def test_new_weights_decide_from_the_next_pass_on():
    with serving() as server, contextlib.closing(server.connect()) as worker:
        seen, memory = observations(TINY, 2), states(TINY, 2)
        assert ask(worker, seen, memory).version == 3
        server.network.load(encode_weights(ActorCritic(TINY), 4))
        assert_equal(ask(worker, seen, memory), forward(server.network, seen, memory))


def test_a_refusal_says_why():
    with serving() as server:
        with pytest.raises(PolicyError, match="for the game doom:take_cover"):
            server.connect(OTHER_GAME)
        server.refusal = "größer"
        with pytest.raises(PolicyError, match="größer"):
            server.connect()
        server.refusal = None
        server.connect().close()


def test_nobody_listens():
    with pytest.raises(ConnectionRefusedError):
        InferenceSocket("nobody", TINY, 1)


def test_one_name_has_one_server():
    with serving() as server, pytest.raises(OSError, match="in use"):
        InferenceServer(server.name, lambda spec: None, len)


def test_it_answers_whoever_asks_whether_it_does():
    with serving() as server:
        assert peers.answers(server.name, 20)
    with pytest.raises(OSError):
        peers.answers(server.name, 20)


def test_a_worker_that_is_killed_leaves_nothing_behind():
    with serving() as server:
        before = descriptors()
        command = [sys.executable, "-c", WORKER, server.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None and worker.stdout.readline() == b"answered\n"
            assert len(server.server._slabs) == 1
            worker.kill()
        until("its connection has ended", lambda: not server.server._slabs)
        until("its memory is given back", lambda: descriptors() == before)


def descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len([*Path("/proc/self/fd").iterdir()])


def test_a_worker_killed_while_it_waits_costs_nobody_an_answer():
    with serving() as server, contextlib.closing(server.connect()) as other:
        server.gate.clear()
        leaving = server.connect()
        leaving._socket.send((1).to_bytes(4, "little"))
        assert server.at_gate.wait(20)
        leaving.close()
        server.gate.set()
        assert ask(other, observations(TINY, 1), states(TINY, 1)).version == 3
        until("it is forgotten", lambda: len(server.server._slabs) == 1)


def test_a_worker_notices_that_the_server_has_ended():
    with serving() as server:
        worker = server.connect()
    with contextlib.closing(worker), pytest.raises(ConnectionError):
        ask(worker, observations(TINY, 1), states(TINY, 1))


@pytest.mark.parametrize(
    "message", [(0).to_bytes(4, "little"), (CAPACITY + 1).to_bytes(4, "little"), b"x", bytes(9)]
)
def test_a_request_that_makes_no_sense_ends_the_connection(
    message: bytes, caplog: pytest.LogCaptureFixture
):
    with serving() as server, contextlib.closing(server.connect()) as worker:
        worker._socket.send(message)
        assert worker._socket.recv(100) == b""
        assert "a worker was disconnected" in caplog.text
        assert server.batches == []


@pytest.mark.parametrize("hello", [b"{}", b"\xff", b'{"spec": 1, "capacity": -1}', bytes(100_000)])
def test_a_first_message_that_cant_be_read_ends_the_connection(hello: bytes):
    with serving() as server, peers.connect(server.name, 20) as worker:
        worker.send(hello)
        assert worker.recv(100) == b""


@pytest.mark.parametrize("size", [0, 64])
def test_a_worker_that_shares_too_little_memory_is_disconnected(size: int):
    hello = Hello(spec=TINY, capacity=CAPACITY).model_dump_json().encode()
    with serving() as server, peers.connect(server.name, 20) as worker:
        if size:
            with peers.shared_memory(size) as (descriptor, _):
                socket.send_fds(worker, [hello], [descriptor])
        else:
            worker.send(hello)
        assert worker.recv(100) == b""


def test_memory_that_might_shrink_is_not_used(caplog: pytest.LogCaptureFixture):
    descriptor = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.truncate(descriptor, 1 << 20)
    with serving() as server, peers.connect(server.name, 20) as worker:
        socket.send_fds(worker, [b"{}"], [descriptor])
        assert worker.recv(100) == b""
    os.close(descriptor)
    assert "not sealed" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_another_user_is_refused(caplog: pytest.LogCaptureFixture):
    with serving() as server:
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.connect(peers.address(server.name))
            with contextlib.suppress(ConnectionError):
                client.send(b"{}")
                os._exit(0 if client.recv(100) == b"" else 1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert "of user 65534" in caplog.text
