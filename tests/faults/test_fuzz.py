"""Malformed input is refused, and harms neither the process nor its other clients.

Most input is valid with something wrong in it, as random bytes get no further than the first check.
The processes are real, on real sockets, so that the resources they hold can be counted.
"""

import contextlib
import json
import math
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metabonk.errors import PolicyError, WireError
from metabonk.messages.base import ErrorBody
from metabonk.messages.fleet import Fleet
from metabonk.messages.runs import CurvePoint, Episode
from metabonk.messages.workers import HeartbeatReply, WorkerStatus
from metabonk.policy import ActorCritic, PolicySpec, Rollout, encode_weights
from metabonk.policy.rollout import EpisodeEnd
from metabonk.policy.weights import decode_weights, load_weights
from metabonk.settings import Settings, write_settings
from metabonk.system.process import die_with_parent
from tests.support.corruption import damaged, damaged_lines, damaged_tensors, edited
from tests.support.rollouts import make_rollout
from tests.support.serving import free_port
from tests.support.sockets import ended
from tests.support.specs import ALL_SPECS
from tests.support.statuses import episode, heartbeat
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(1500)

FEW, MANY = 250, 10_000
STEPS = 16
GROWTH = 24 << 20
"""Bytes that a process may grow by in ``MANY`` cases: 2.5 KB per case."""

MAX_ATTEMPTS = 60
"""To send a rollout to a learner that gets little of the CPU."""

OFFER = Path(__file__).with_name("offer-of-chromium.sdp").read_text()
SDP = {"Content-Type": "application/sdp"}
JSON = {"Content-Type": "application/json"}
LEARNING = {
    "observation": "vector",
    "rollout_steps": STEPS,
    "batch_size": 2 * STEPS,
    "epochs": 1,
    "num_minibatches": 1,
}


@pytest.fixture
def cases(long: bool) -> int:
    return MANY if long else FEW


@dataclass
class Target:
    """A process under attack.

    Attributes:
        client: of its port.
        port: it serves on.
        process: itself.
        log: its output.
    """

    client: httpx.Client
    port: int
    process: psutil.Process
    log: Path

    @contextlib.contextmanager
    def unharmed(self) -> Iterator[None]:
        """Check that it holds no more after the block than before, and logged no error."""
        memory, descriptors = self.process.memory_info().rss, self.process.num_fds()
        said = len(self.log.read_text())
        yield
        assert self.client.get("/healthz").is_success
        until("its descriptors are closed", lambda: self.process.num_fds() <= descriptors)
        grown = self.process.memory_info().rss - memory
        assert grown < GROWTH, f"it grew by {grown >> 20} MB"
        complaint = re.search(r"( ERROR |Traceback)(.*\n){1,80}", self.log.read_text()[said:])
        assert complaint is None, complaint and complaint[0]


@contextlib.contextmanager
def running(folder: Path, port: int, *command: str) -> Iterator[Target]:
    """Run ``python -m <command>`` for the duration of the block."""
    log = folder / "log.txt"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(die_with_parent, os.getpid()),
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        try:
            # The learner has the lowest priority, and imports for seconds.
            until("it serves", lambda: answers(client) or process.poll() is not None, 180)
            assert process.poll() is None, log.read_text()
            yield Target(client, port, psutil.Process(process.pid), log)
        finally:
            process.kill()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").is_success
    except httpx.TransportError:
        return False


def each_of(strategy: st.SearchStrategy[Any], cases: int, test: Callable[[Any], None]) -> None:
    """Run ``test`` on generated values: ``FEW`` are the same each time, more are random."""

    @settings(
        max_examples=cases,
        derandomize=cases == FEW,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        test(value)

    run()


def refused(answer: httpx.Response, *statuses: int) -> bool:
    """Tell whether the request was refused; check the form of the refusal and its status."""
    if answer.is_success:
        return False
    assert answer.status_code in statuses, f"{answer.status_code} {answer.text[:500]}"
    assert ErrorBody.model_validate(answer.json()).message
    return True


# Rollouts


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder, port = tmp_path_factory.mktemp("learner"), free_port()
    settings = Settings.model_validate(
        {"game": "gym:CartPole-v1", "ports": {"learner": port}, "learning": LEARNING}
    )
    write_settings(settings, folder / "settings.json")
    command = ("metabonk.cli.main", "learner", "--settings", str(folder / "settings.json"))
    with running(folder, port, *command, "--run", str(folder)) as target:
        yield target


def spec_of(learner: Target) -> PolicySpec:
    return decode_weights(learner.client.get("/weights").content).spec


def version_of(learner: Target) -> int:
    return int(learner.client.get("/status").json()["policy_version"])


@st.composite
def extreme_rollouts(draw: st.DrawFn, spec: PolicySpec) -> Rollout:
    """Draw well-formed rollouts with numbers that no game produces."""
    rollout = make_rollout(STEPS, spec=spec, terminated=(3,), truncated=draw(st.booleans()))
    for name in draw(
        st.sets(st.sampled_from(["observations", "log_probs", "rewards", "versions"]))
    ):
        array = getattr(rollout, name)
        kind = np.integer if np.issubdtype(array.dtype, np.integer) else np.floating
        numbers = (
            st.integers(-(2**63), 2**63 - 1)
            if kind is np.integer
            else st.floats(width=32) | st.sampled_from([1e6, -1e6, 3e38, -3e38, 1e-45])
        )
        for place in draw(st.lists(st.integers(0, array.size - 1), max_size=array.size)):
            array.flat[place] = draw(numbers)
    return rollout


def test_no_rollout_harms_the_learner(learner: Target, cases: int):
    spec = spec_of(learner)
    teach(learner, spec)
    right = make_rollout(STEPS, spec=spec, terminated=(3,))
    valid = replace(right, episodes=(EpisodeEnd(total_reward=1.5, length=4),)).to_bytes()
    taken = 0

    def send(body: bytes | Rollout) -> None:
        nonlocal taken
        if isinstance(body, Rollout):
            body.versions[:] = np.where(body.versions == 0, version_of(learner), body.versions)
            body = body.to_bytes()
        for _ in range(MAX_ATTEMPTS):
            answer = learner.client.post("/rollouts", content=body)
            if answer.status_code != 503:
                break
            # It was kept waiting for a second.
            assert answer.json()["error"] == "queue_full" and "Retry-After" in answer.headers
        taken += not refused(answer, 400, 409, 413)

    with learner.unharmed():
        each_of(damaged_tensors(valid) | extreme_rollouts(spec) | st.binary(), cases, send)
    assert taken > cases / 20, "too few were valid to test learning"
    weights = decode_weights(learner.client.get("/weights").content)
    assert all(np.isfinite(tensor).all() for tensor in weights.tensors.values())
    teach(learner, spec)


def teach(learner: Target, spec: PolicySpec) -> None:
    """Send valid rollouts until the learner has learned from them."""
    before = version_of(learner)

    def learned() -> bool:
        rollout = make_rollout(STEPS, spec=spec, version=version_of(learner))
        learner.client.post("/rollouts", content=rollout.to_bytes())
        return version_of(learner) > before + 1

    until("it learns", learned, 60)


# Weights


@pytest.mark.parametrize("spec", ALL_SPECS, ids=lambda spec: spec.game)
def test_no_weights_spoil_a_network(spec: PolicySpec, cases: int):
    network, other = ActorCritic(spec), ActorCritic(spec)
    valid = encode_weights(other, 7)

    def load(data: bytes) -> None:
        with contextlib.suppress(WireError, PolicyError):
            load_weights(network, data)

    each_of(damaged_tensors(valid) | st.binary(), cases // len(ALL_SPECS), load)
    assert all(math.isfinite(float(tensor.sum())) for tensor in network.state_dict().values())


# Heartbeats


@pytest.fixture(scope="module")
def orchestrator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder, port = tmp_path_factory.mktemp("orchestrator"), free_port()
    with running(
        folder, port, "tests.support.fuzz_target", "orchestrator", str(port), str(folder)
    ) as it:
        yield it


def test_no_heartbeat_harms_the_fleet(orchestrator: Target, cases: int):
    client = orchestrator.client
    valid = heartbeat(0, episode(1), episode(2))
    tree, text = valid.model_dump(mode="json"), valid.model_dump_json().encode()
    ours = number = 0

    def send(body: Any) -> None:
        nonlocal ours, number
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = client.post("/api/heartbeat", content=content, headers=JSON)
        if not refused(answer, 400, 404, 413, 422):
            HeartbeatReply.model_validate(answer.json())
        number += 1
        if number % 50 == 0:
            ours += 1
            check_another_worker_is_served(client, ours)

    for warm in range(1, 50):
        check_another_worker_is_served(client, warm)
    ours = 50
    with orchestrator.unharmed():
        each_of(edited(tree) | damaged(text), cases, send)


def check_another_worker_is_served(client: httpx.Client, number: int) -> None:
    """Check a well-behaved worker, and readers of the fleet's state."""
    body = heartbeat(1, episode(number, 1), step=number).model_dump_json()
    answer = client.post("/api/heartbeat", content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    statuses = client.get("/workers").json()
    assert WorkerStatus.model_validate(statuses["omega-1"]).step == number
    newest = client.get("/api/episodes?worker=1&limit=1").json()
    assert Episode.model_validate(newest[0]).episode == number
    for status in statuses.values():
        WorkerStatus.model_validate(status)
    Fleet.model_validate(client.get("/api/fleet").json())
    for point in client.get("/api/curve").json():
        CurvePoint.model_validate(point)
    assert client.get("/metrics").is_success


# Offers and messages of viewers


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder, port = tmp_path_factory.mktemp("worker"), free_port()
    with running(
        folder, port, "tests.support.fuzz_target", "worker", str(port), str(folder)
    ) as target:
        yield target


class Spectator:
    """Another viewer of the same stream."""

    def __init__(self, target: Target) -> None:
        self.taken = 0
        self._target = target
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Spectator":
        self._thread.start()
        self.check_it_still_watches()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def check_it_still_watches(self) -> None:
        before = self.taken
        until("data arrives", lambda: self.taken > before)
        assert self._thread.is_alive()

    def _watch(self) -> None:
        # A WebSocket client would draw random numbers, which Hypothesis forbids in all threads.
        with socket.create_connection(("127.0.0.1", self._target.port), 60) as client:
            client.sendall(b"GET /stream.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while not self._left.is_set() and (part := client.recv(1 << 16)):
                self.taken += len(part)


def clients(worker: Target) -> int:
    return int(worker.client.get("/status").json()["stream_active_clients"])


def test_no_offer_harms_a_worker_or_its_viewers(worker: Target, cases: int):
    accepted = 0

    def send(offer: str | bytes) -> None:
        nonlocal accepted
        content = offer if isinstance(offer, bytes) else offer.encode(errors="surrogatepass")
        answer = worker.client.post("/whep", content=content, headers=SDP)
        if answer.status_code == 201:
            accepted += 1
            ended = worker.client.delete(answer.headers["Location"])
            assert ended.status_code == 200
        else:
            assert refused(answer, 400, 406, 413)

    for _ in range(20):
        send(OFFER)
    with Spectator(worker) as spectator, worker.unharmed():
        each_of(damaged_lines(OFFER) | damaged(OFFER.encode()), cases, send)
        spectator.check_it_still_watches()
    assert accepted > 20 + cases / 20, "too few were valid to test answers"
    until("all have left", lambda: clients(worker) == 0)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Draw valid and invalid WebSocket frames (RFC 6455, 5.2)."""
    sent = b""
    for _ in range(draw(st.integers(1, 6))):
        data = draw(st.binary(max_size=200) | st.integers(1000, 9000).map(bytes))
        head = bytes([draw(st.integers(0, 255))])
        masked = draw(st.sampled_from([0x80, 0x80, 0x80, 0]))
        size = draw(st.sampled_from([len(data), len(data), len(data), 0, 2**31, 2**63]))
        if size < 126:
            head += bytes([masked | size])
        elif size < 1 << 16:
            head += bytes([masked | 126]) + size.to_bytes(2, "big")
        else:
            head += bytes([masked | 127]) + size.to_bytes(8, "big")
        sent += head + bytes(4 if masked else 0) + data
    return sent


def upgrade(port: int, query: str) -> bytes:
    lines = (
        f"GET /stream{query} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def test_no_message_over_a_websocket_harms_a_worker_or_its_viewers(worker: Target, cases: int):
    queries = st.sampled_from(["", "?audience=broadcast", "?saliency=true", "?audience=x", "?%00"])

    def send(case: tuple[str, bytes]) -> None:
        query, said = case
        with socket.create_connection(("127.0.0.1", worker.port), 60) as client:
            client.sendall(upgrade(worker.port, query))
            assert client.recv(1 << 16)[:12] in (b"HTTP/1.1 101", b"HTTP/1.1 403")
            with contextlib.suppress(OSError):  # Closed already.
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
            assert ended(client)

    for _ in range(20):
        send(("", b""))
    with Spectator(worker) as spectator, worker.unharmed():
        each_of(st.tuples(queries, frames() | st.binary()), cases, send)
        spectator.check_it_still_watches()
        until("the others have left", lambda: clients(worker) == 1)


# Below HTTP


@pytest.mark.parametrize("name", ["learner", "orchestrator", "worker"])
def test_no_damaged_request_is_a_server_error(
    request: pytest.FixtureRequest, name: str, cases: int
):
    target: Target = request.getfixturevalue(name)
    path = {"learner": "/rollouts", "orchestrator": "/api/heartbeat", "worker": "/whep?x=%00"}[name]
    body = b"0123456789"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sdp\r\n"
    sized = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\na\r\n".encode() + body + b"\r\n0\r\n\r\n"

    def send(said: bytes) -> None:
        with socket.create_connection(("127.0.0.1", target.port), 60) as client:
            with contextlib.suppress(OSError):  # Closed already.
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
            answer = all_of(client)
            assert not answer or answer[9:10] in b"234", answer[:500]

    for _ in range(20):
        send(sized)
    with target.unharmed():
        each_of(damaged(sized) | damaged(chunked), cases // 5, send)


def all_of(client: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := client.recv(1 << 16):
            answer += part
    return answer


@pytest.mark.parametrize("name", ["learner", "orchestrator", "worker"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Length: 99999999999", b"413"),
        ("Content-Length: -1", b"400"),
        ("Content-Length: 5\r\nContent-Length: 6", b"400"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", b"411"),
        ("Transfer-Encoding: chunked", b"411"),
        ("Transfer-Encoding: gzip", b"400"),
    ],
)
def test_an_unacceptable_body_is_refused_before_it_is_read(
    request: pytest.FixtureRequest, name: str, headers: str, status: bytes
):
    target: Target = request.getfixturevalue(name)
    for path in ("/rollouts", "/api/heartbeat", "/whep", "/healthz"):
        with socket.create_connection(("127.0.0.1", target.port), 60) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n\r\n"
            client.sendall(head.encode())
            assert client.recv(1 << 16)[9:12] == status
