"""The monitor of the children's progress, with stand-ins for the children."""

import errno
import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from fastapi import FastAPI, Response

from metabonk.inference_server.server import InferenceServer
from metabonk.messages.base import Loop
from metabonk.messages.learner import LearnerStatus
from metabonk.messages.workers import WorkerStatus
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.supervision import hang_monitor
from metabonk.orchestrator.supervision.hang_monitor import RESPONSE_TIMEOUT_S, HangMonitor
from metabonk.orchestrator.supervision.liveness import HUNG_AFTER_S
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from metabonk.system import peers
from metabonk.system.process_ids import ProcessId, process_id
from tests.support.clock import Clock
from tests.support.serving import free_ports, served
from tests.support.statuses import heartbeat, status
from tests.support.waiting import GENEROUS_S, until

WORKERS = 12


def learner(turns: int) -> LearnerStatus:
    return LearnerStatus(
        pid=os.getpid(), uptime_s=1, policy_version=2, steps_trained=3, steps_per_s=4,
        steps_dropped=0, updates=5, policy_lag=0.5, waiting=0.1, turns={Loop.TRAIN: turns},
    )  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path, clock: Clock) -> Iterator[FleetState]:
    store = EpisodeStore(tmp_path, "doom:basic")
    port, worker = free_ports(2, spare=WORKERS)
    settings = Settings.model_validate(
        {
            "ports": {"learner": port, "worker": worker},
            "paths": {"runs": tmp_path},
            "workers": WORKERS,
        }
    )
    yield FleetState(settings, store, clock)
    store.close()


@pytest.fixture
def here() -> ProcessId:
    process = process_id(os.getpid())
    assert process is not None
    return process


@pytest.fixture(autouse=True)
def _unexcused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hang_monitor, "INTERVAL_S", 0.01)
    # The process of the tests is busy now and then.
    monkeypatch.setattr(hang_monitor, "session_usage", lambda session: {})


@pytest.fixture
def monitor(
    state: FleetState, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HangMonitor]:
    """Return a monitor that waits long for those who answer."""
    monkeypatch.setattr(hang_monitor, "RESPONSE_TIMEOUT_S", GENEROUS_S)
    with closing(HangMonitor(state, clock)) as monitor:
        yield monitor


def serve_status(answers: list[LearnerStatus | WorkerStatus | str]) -> FastAPI:
    app = FastAPI()

    @app.get("/status")
    def get_status() -> Response:
        answer = answers[-1]
        text = answer if isinstance(answer, str) else answer.model_dump_json()
        return Response(text, media_type="application/json")

    return app


def test_the_learner_is_polled_and_one_without_an_answer_is_none(
    monitor: HangMonitor, state: FleetState, here: ProcessId
):
    answers: list[LearnerStatus | WorkerStatus | str] = [learner(1)]
    monitor.watch({"learner": here})
    with served(serve_status(answers), state.settings.ports.learner):
        monitor.start()
        until("the learner is known", lambda: state.fleet().learner == learner(1))
        answers.append('{"pid": "rubbish"}')
        until("its status is refused", lambda: state.fleet().learner is None)


def test_a_learner_that_answers_but_does_not_train_hangs(
    monitor: HangMonitor, state: FleetState, clock: Clock, here: ProcessId
):
    answers: list[LearnerStatus | WorkerStatus | str] = [learner(1)]
    monitor.watch({"learner": here})
    with served(serve_status(answers), state.settings.ports.learner):
        monitor._tick()
        clock.now += 6.0
        monitor._tick()
        assert monitor.problems()[0].message == "learner has made no progress for 6 s"
        assert monitor.hangs() == []
        clock.now += HUNG_AFTER_S
        monitor._tick()
        (hang,) = monitor.hangs()
        assert (hang.process, hang.reason) == (here, "it has made no progress for 21 s")
        answers.append(learner(2))
        monitor._tick()
    assert not monitor.problems() and not monitor.hangs()


def test_a_worker_whose_heartbeats_are_lost_hangs_only_if_it_makes_no_progress_when_asked(
    monitor: HangMonitor, state: FleetState, clock: Clock, here: ProcessId
):
    state.heartbeat(heartbeat(0, pid=here.pid, turns={Loop.LIVE: 1}))
    answers: list[LearnerStatus | WorkerStatus | str] = [
        status(0, pid=here.pid, turns={Loop.LIVE: 2})
    ]
    monitor.watch({"omega-0": here})
    with served(serve_status(answers), state.settings.worker_port(0)):
        monitor._tick()
        clock.now += HUNG_AFTER_S + 1
        monitor._tick()
        assert monitor.hangs() == []
        clock.now += HUNG_AFTER_S + 1
        monitor._tick()
        (hang,) = monitor.hangs()
        assert not hang.is_silent
    monitor._tick()
    (hang,) = monitor.hangs()
    assert hang.is_silent


def test_a_live_game_that_stands_still_hangs_although_heartbeats_come(
    monitor: HangMonitor, state: FleetState, clock: Clock, here: ProcessId
):
    monitor.watch({"omega-0": here})
    for second in range(int(HUNG_AFTER_S) + 1):
        clock.now = float(second)
        turns = {Loop.LIVE: 5, Loop.BACKGROUND: second}
        state.heartbeat(heartbeat(0, pid=here.pid, turns=turns))
        monitor._tick()
    (hang,) = monitor.hangs()
    assert not hang.is_silent


def test_the_status_of_an_earlier_process_says_nothing_about_the_next(
    monitor: HangMonitor, state: FleetState, clock: Clock, here: ProcessId
):
    earlier = ProcessId(pid=here.pid + 1, started=1)
    state.heartbeat(heartbeat(0, pid=earlier.pid, turns={Loop.LIVE: 5}))
    monitor.watch({"omega-0": earlier})
    monitor._tick()
    clock.now += HUNG_AFTER_S + 1
    monitor._tick()
    (hang,) = monitor.hangs()
    assert hang.process == earlier
    monitor.watch({"omega-0": here})
    assert monitor.problems() == []
    monitor._tick()
    assert monitor.hangs() == []


def test_twelve_workers_that_do_not_answer_cost_the_time_of_one(
    state: FleetState, clock: Clock, here: ProcessId
):
    with closing(HangMonitor(state, clock)) as monitor, ExitStack() as sockets:
        for index in range(WORKERS):
            state.heartbeat(heartbeat(index, pid=here.pid, turns={Loop.LIVE: 5}))
            address = ("127.0.0.1", state.settings.worker_port(index))
            sockets.enter_context(socket.create_server(address))
        monitor.watch({f"omega-{index}": here for index in range(WORKERS)})
        monitor._tick()
        clock.now += HUNG_AFTER_S + 1
        began = time.monotonic()
        monitor._tick()
        took = time.monotonic() - began
        assert took < WORKERS / 2 * RESPONSE_TIMEOUT_S, "not one after another"
    assert len(monitor.hangs()) == WORKERS
    assert all(hang.is_silent for hang in monitor.hangs())


def test_who_lacks_descriptors_to_ask_judges_nobody(
    monitor: HangMonitor,
    state: FleetState,
    clock: Clock,
    here: ProcessId,
    monkeypatch: pytest.MonkeyPatch,
):
    def fail(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monitor.watch({"learner": here})
    monkeypatch.setattr(socket, "create_connection", fail)
    for _ in range(2):
        clock.now += HUNG_AFTER_S + 1
        monitor._tick()
    assert monitor.hangs() == []
    assert "Too many open files" in monitor.problems()[0].message


def test_a_go2rtc_that_does_not_answer_hangs(
    monitor: HangMonitor,
    clock: Clock,
    here: ProcessId,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    path = tmp_path / "go2rtc.sock"
    monkeypatch.setattr(hang_monitor.go2rtc, "socket_path", lambda settings: path)
    monitor.watch({"go2rtc": here})
    with Go2rtc(str(path), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        for _ in range(3):
            clock.now += HUNG_AFTER_S
            monitor._tick()
        assert monitor.hangs() == [] and monitor.problems() == []
        server.shutdown()
    path.unlink()
    clock.now += HUNG_AFTER_S
    monitor._tick()
    (hang,) = monitor.hangs()
    assert hang.process == here


def test_an_inference_server_that_does_not_answer_hangs(
    monitor: HangMonitor,
    state: FleetState,
    clock: Clock,
    here: ProcessId,
    monkeypatch: pytest.MonkeyPatch,
):
    name = peers.inference_server_name(state.settings.ports.learner, 1)
    server = InferenceServer(name, lambda spec: None, len)
    stopped = threading.Event()
    serving = threading.Thread(target=server.serve, args=(stopped.is_set,))
    serving.start()
    monitor.watch({"inference-1": here})
    for _ in range(3):
        clock.now += HUNG_AFTER_S
        monitor._tick()
    assert monitor.hangs() == [] and monitor.problems() == []
    stopped.set()
    serving.join()
    # It still listens, as a process that was stopped does.
    monkeypatch.setattr(hang_monitor, "RESPONSE_TIMEOUT_S", 0.1)
    clock.now += HUNG_AFTER_S
    monitor._tick()
    (hang,) = monitor.hangs()
    assert hang.process == here
    server.close()


class Go2rtc(socketserver.UnixStreamServer):
    """Answers as go2rtc does."""


class Answer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
