"""The fork server as a real process; it has imported PyTorch only where a test says so."""

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from metabonk.system import fork_server
from metabonk.system.fork_server import ForkedChild, ForkServer
from tests.support.children import OBEDIENT, all_gone
from tests.support.processes import with_word
from tests.support.waiting import until

PR_GET_CHILD_SUBREAPER = 37
METABONK = (sys.executable, "-m", "metabonk.cli.main")
SERVER = (*METABONK, "fork-server", "--preload", "numpy.random", "--parent", str(os.getpid()))

SELF_PORTRAIT = """
import json, os, sys
print(json.dumps({
    "parent": os.getppid(),
    "session": os.getsid(0),
    "argv": sys.argv[1:],
    "variable": os.environ.get("COLOUR"),
    "input": os.read(0, 1).decode(),
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
}))
"""

# Two threads of OpenMP and those of autograd: none of them may wait for one that is left behind.
TRAINING = """
import os, sys, torch
assert "metabonk.worker.process" in sys.modules
assert not torch.cuda.is_initialized()
assert len(os.listdir("/proc/self/task")) == 1
torch.set_num_threads(2)
network = torch.nn.Linear(512, 512)
loss = network(torch.randn(2048, 512)).square().mean()
loss.backward()
assert len(os.listdir("/proc/self/task")) > 1
print("trained", flush=True)
"""

# An orchestrator that is about to be killed.
PARENT = f"""
import os, sys, time
from pathlib import Path
from metabonk.system.fork_server import ForkServer
server = ForkServer((*{SERVER[:-1]!r}, str(os.getpid())), Path(sys.argv[1]) / "server.log")
while not server.poll(): time.sleep(0.01)
program = '''
import os, signal, time
from metabonk.system.process import die_with_parent
die_with_parent(os.getppid())
os.write(1, b"waits\\\\n")
time.sleep(600)
'''
command = (sys.executable, "-m", "tests.support.forked", program)
child = server.start_child(command, {{}}, 1)
os.write(1, b"%d\\n" % child.pid)
time.sleep(600)
"""


def command(source: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.support.forked", source, *arguments)


@pytest.fixture(scope="module")
def only_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    server = ForkServer(SERVER, tmp_path_factory.mktemp("server") / "server.log")
    yield server
    server.close()


@pytest.fixture
def server(only_server: ForkServer) -> ForkServer:
    """One for all tests; launched again after a test that has ended it."""
    until("a fork server is ready", only_server.poll, 60)
    return only_server


def server_process() -> psutil.Process:
    (process,) = with_word(psutil.Process().children(), "fork-server")
    return process


def start(
    server: ForkServer, log: Path, source: str, *arguments: str, **variables: str
) -> ForkedChild:
    with log.open("ab") as output:
        child = server.start_child(command(source, *arguments), variables, output.fileno())
    assert child is not None
    return child


def test_a_forked_child_is_what_popen_would_have_made(server: ForkServer, tmp_path: Path):
    log = tmp_path / "child.log"
    child = start(server, log, SELF_PORTRAIT, "--index", "3", COLOUR="green")
    assert child.wait() == 0
    assert eval(log.read_text(), {"null": None}) == {
        "parent": os.getpid(),
        "session": child.pid,
        "argv": ["--index", "3"],
        "variable": "green",
        "input": "",
        "descriptors": [0, 1, 2],
    }


def test_a_forked_child_shows_its_own_command_line(server: ForkServer, tmp_path: Path):
    child = start(server, tmp_path / "child.log", OBEDIENT, "--index", "3")
    words = psutil.Process(child.pid).cmdline()
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert [word for word in words if word] == [*command(OBEDIENT, "--index", "3")]


@pytest.mark.parametrize(
    ("source", "code"), [("raise SystemExit(3)", 3), ("import os; os.abort()", -signal.SIGABRT)]
)
def test_the_exit_code_is_reported(server: ForkServer, tmp_path: Path, source: str, code: int):
    assert start(server, tmp_path / "child.log", source).wait() == code


def test_children_of_one_server_draw_different_random_numbers(server: ForkServer, tmp_path: Path):
    log = tmp_path / "child.log"
    for _ in range(2):
        start(
            server, log, "import random, numpy; print(random.random(), numpy.random.rand())"
        ).wait()
    drawn = log.read_text().split()
    assert len(set(drawn)) == 4


def test_a_child_outlives_its_server_and_the_next_start_launches_another(
    server: ForkServer, tmp_path: Path
):
    first = start(server, tmp_path / "child.log", OBEDIENT)
    server_process().kill()
    until("the death is noticed", lambda: not server.poll())
    until("the fork server is ready", server.poll, 60)
    second = start(server, tmp_path / "child.log", OBEDIENT)
    until("both run", lambda: (tmp_path / "child.log").read_text().count("ready") == 2)
    for child in (first, second):
        assert psutil.Process(child.pid).ppid() == os.getpid()
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait() == 0


def test_a_hung_server_is_replaced_and_the_child_it_was_asked_for_never_runs(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fork_server, "ANSWER_TIMEOUT_S", 0.5)
    hung = server_process()
    others = {*psutil.Process().children()} - {hung}
    hung.suspend()
    assert server.start_child(command(OBEDIENT), {}, 1) is None
    assert {*psutil.Process().children()} <= others
    until("the fork server is ready", server.poll, 60)
    assert start(server, tmp_path / "child.log", "raise SystemExit(0)").wait() == 0


def test_a_child_whose_pid_never_arrived_does_not_run(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # It is forked, and the answer is lost.
    monkeypatch.setattr(fork_server, "_receive", lambda *_: b"")
    ran = tmp_path / "ran"
    source = f"import pathlib; pathlib.Path({str(ran)!r}).touch()"
    assert server.start_child(command(source), {}, 1) is None
    time.sleep(0.5)
    assert not ran.exists()


def test_children_import_for_themselves_if_the_server_cannot_import(tmp_path: Path):
    log = tmp_path / "server.log"
    server = ForkServer((*SERVER, "--preload", "no_such_module"), log)
    until("the fork server is ready", server.poll, 60)
    assert server.start_child(command(OBEDIENT), {}, 1) is None
    assert "no_such_module" in log.read_text()


def test_children_import_for_themselves_if_the_kernel_gives_them_another_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server = ForkServer(SERVER, tmp_path / "server.log")
    until("the fork server is ready", server.poll, 60)
    monkeypatch.setattr(fork_server, "_adopting_orphans", contextlib.nullcontext)
    ran = tmp_path / "ran"
    source = f"import pathlib; pathlib.Path({str(ran)!r}).touch()"
    assert server.start_child(command(source), {}, 1) is None
    time.sleep(0.5)
    assert not ran.exists()
    until("the fork server is ready", server.poll)
    assert server.start_child(command(source), {}, 1) is None


def test_other_orphans_are_left_to_init(server: ForkServer, tmp_path: Path):
    start(server, tmp_path / "child.log", "raise SystemExit(0)").wait()
    adopts = ctypes.c_int(-1)
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(adopts), 0, 0, 0)
    assert adopts.value == 0


@pytest.mark.usefixtures("cleanup_lock")  # Others may take them for orphans.
def test_a_forked_child_ends_with_the_process_that_asked_for_it(tmp_path: Path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout as output:
        said: set[str] = set()
        # Parent and child write in either order, each line at once.
        while not ("waits" in said and any(map(str.isdecimal, said))):
            line = output.readline()
            assert line, f"the parent has ended after {said}"
            said.add(line.strip())
        (pid,) = filter(str.isdecimal, said)
        family = [psutil.Process(int(pid)), *psutil.Process(parent.pid).children()]
        parent.kill()
        parent.wait()
    assert all_gone(family)


def test_pytorch_works_in_a_child_of_a_server_that_has_imported_it(tmp_path: Path):
    server = ForkServer((*SERVER, "--preload", "metabonk.cli.worker"), tmp_path / "server.log")
    try:
        until("PyTorch is imported", server.poll, timeout=60)
        log = tmp_path / "child.log"
        children = [start(server, log, TRAINING) for _ in range(2)]
        codes = [child.wait() for child in children]
        assert codes == [0, 0], log.read_text()
        assert log.read_text().count("trained") == 2
    finally:
        server.close()


def test_a_channel_may_have_any_descriptor():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    high = socket.socket(fileno=fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 2000))
    with ours, theirs, high:
        assert fork_server._receive(high, 0) == b""
        theirs.send(fork_server.READY)
        assert fork_server._receive(high, 5) == fork_server.READY
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
