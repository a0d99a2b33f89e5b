"""Inspection of a real server's real video, healthy and broken in each way in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from metabonk.doctor import browser
from metabonk.doctor.browser import find_browser
from metabonk.encoding.sessions import Lease
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory, Nvml
from metabonk.encoding.sessions.pools import Pools
from metabonk.http.server import HttpServer
from metabonk.messages import StreamState
from metabonk.settings import Settings
from metabonk.validation.inspect import inspect, inspect_pools
from metabonk.validation.inspect_page import inspect_page
from metabonk.validation.inspect_stream import inspect_stream
from metabonk.validation.observations import PageObservation, StreamObservation
from tests.support.frames import regular_times
from tests.support.machines import GEFORCE
from tests.support.requirements import require
from tests.support.serving import free_port, free_ports, served
from tests.support.streaming_worker import FPS, SIZE, Worker, page, video

HEALTHY = video()
LIVE, STANDBY = StreamState.LIVE, StreamState.STANDBY


def inspected(worker: Worker) -> StreamObservation:
    worker.port = free_port()
    with served(worker.app(), worker.port):
        return inspect_stream(worker.status)


def test_a_healthy_stream_is_decoded_for_three_seconds():
    stream = inspected(Worker(HEALTHY))
    assert (stream.code, stream.state, stream.failure) == (200, LIVE, None)
    decoded = stream.video
    assert decoded is not None
    assert decoded.seconds == pytest.approx(3.0, abs=0.05)
    assert decoded.frames / decoded.seconds == pytest.approx(FPS, rel=0.02)
    assert (decoded.width, decoded.height) == SIZE
    assert (decoded.corrupt, decoded.dropped) == (0, 0)
    assert decoded.longest_gap_s == pytest.approx(2.0, abs=0.1)


def test_too_few_frames_show_in_the_rate():
    decoded = inspected(Worker(video(regular_times(50, fps=12.0)))).video
    assert decoded is not None
    assert decoded.frames / decoded.seconds == pytest.approx(12, rel=0.05)


def test_frames_that_the_worker_lost_meanwhile_are_counted():
    decoded = inspected(Worker(HEALTHY, dropped_each_time=4)).video
    assert decoded is not None and decoded.dropped == 4


def test_a_keyframe_that_does_not_come_shows_although_there_is_no_second_one():
    decoded = inspected(Worker(video(every=1000))).video
    assert decoded is not None
    assert decoded.longest_gap_s == pytest.approx(3.0, abs=0.05)


def test_corrupt_frames_are_counted():
    def damage(number: int, data: bytes) -> bytes:
        if number % 10 != 5:
            return data
        half = len(data) // 2
        return data[:half] + bytes(byte ^ 0x5A for byte in data[half:])

    decoded = inspected(Worker(video(damage=damage))).video
    assert decoded is not None and decoded.corrupt > 0


@pytest.mark.parametrize("rubbish", [b"", b"no video at all" * 100, HEALTHY[:1200]])
def test_a_stream_that_cannot_be_decoded_says_why(rubbish: bytes):
    stream = inspected(Worker(rubbish))
    assert stream.code == 200 and stream.video is None
    assert stream.failure


def test_a_refusal_is_taken_with_its_reason():
    stream = inspected(Worker(code=503, states=[STANDBY]))
    assert stream == StreamObservation(503, STANDBY, "no_encoder_session", retry_after=True)


@pytest.mark.parametrize(
    ("worker", "error", "retry_after"),
    [
        (Worker(code=503, states=[STANDBY], headers={}), "no_encoder_session", False),
        (Worker(code=503, states=[STANDBY], body={"sorry": "no"}), None, True),
    ],
)
def test_a_refusal_without_a_reason_or_a_time_shows(
    worker: Worker, error: str | None, retry_after: bool
):
    stream = inspected(worker)
    assert (stream.error, stream.retry_after) == (error, retry_after)


def test_a_worker_whose_turn_ends_meanwhile_is_taken_at_neither_word():
    assert inspected(Worker(code=503, states=[LIVE, STANDBY])).state is None


def test_a_worker_that_does_not_answer_is_said_so():
    stream = inspect_stream(Worker(port=free_port()).status)
    assert stream.code is None and stream.state is None and stream.failure


class Machine(Nvml):
    """Counts what it is told to."""

    def __init__(self, *gpus: Gpu) -> None:
        self.gpus = gpus

    def inventory(self) -> GpuInventory:
        return GpuInventory(self.gpus)


@pytest.mark.parametrize("counted", [0, 1, 3])
def test_leases_are_held_against_what_the_driver_counts(tmp_path: Path, counted: int):
    machine = Machine(GEFORCE)
    pools = Pools(tmp_path, nvenc_limit=2, cpu_limit=1, nvml=machine)
    pool = pools.nvenc(0)
    assert pool is not None
    lease = pool.take(worker="omega-0", purpose="stream", backend="av:h264_nvenc", gpu=0)
    assert isinstance(lease, Lease)
    with lease:
        machine.gpus = (replace(GEFORCE, session_count=counted),)
        assert [each.open for each in inspect_pools(pools)[0].leases] == [False]
        lease.mark_opened()
        sessions, software = inspect_pools(pools)
    (held,) = sessions.leases
    assert (held.worker, held.backend, held.open) == ("omega-0", "av:h264_nvenc", True)
    assert (sessions.counted, sessions.external) == (counted, max(0, counted - 1))
    assert (software.leases, software.counted) == ((), None)


@contextmanager
def page_inspected(
    *given: object, token: str | None = None, **more: int
) -> Iterator[PageObservation]:
    port = free_port()
    with served(page(*given, **more), port), httpx.Client() as client:  # type: ignore[arg-type]
        secret = SecretStr(token) if token else None
        yield inspect_page(client, f"http://127.0.0.1:{port}", secret)


def test_a_page_whose_script_runs_shows_what_it_makes():
    require(find_browser(), "a browser", apt="chromium")
    with page_inspected() as found:
        assert (found.code, found.broken_assets) == (200, ())
        assert found.text is not None and found.text.split() == ["omega-0"]


def test_a_page_whose_script_fails_stays_empty():
    require(find_browser(), "a browser", apt="chromium")
    with page_inspected("throw new Error('broken')") as found:
        assert found.text is not None and not found.text.strip()


def test_a_file_that_the_page_needs_and_lacks_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(browser, "BROWSERS", ())
    with page_inspected(None) as found:
        assert found == PageObservation(200, ("/assets/main.js",), None)


def test_a_page_that_refuses_or_is_not_there_is_told():
    with page_inspected(code=401) as found:
        assert found == PageObservation(401)
    with httpx.Client() as client:
        assert inspect_page(client, f"http://127.0.0.1:{free_port()}", None) == PageObservation(
            None
        )


def test_a_page_behind_a_token_gets_no_browser_that_others_could_read_it_from():
    with page_inspected(token="a-token-that-nobody-guesses") as found:
        assert found == PageObservation(200, (), None)


def test_where_no_fleet_answers_that_is_what_is_seen(tmp_path: Path):
    orchestrator, nobody = free_ports(2)
    settings = Settings.model_validate(
        {"ports": {"orchestrator": orchestrator}, "paths": {"runtime": tmp_path}}
    )
    found = inspect(settings, ["omega-0"], f"http://127.0.0.1:{nobody}")
    assert found.workers is None
    assert found.page == PageObservation(None)


def test_a_fleet_on_the_ipv6_loopback_is_found(tmp_path: Path):
    orchestrator, nobody = free_ports(2)
    settings = Settings.model_validate(
        {"host": "::1", "ports": {"orchestrator": orchestrator}, "paths": {"runtime": tmp_path}}
    )
    app = FastAPI()
    app.get("/workers")(lambda: {})
    server = HttpServer(app, settings.internal_host, orchestrator)
    server.start()
    try:
        found = inspect(settings, ["omega-0"], f"http://[::1]:{nobody}")
    finally:
        server.stop()
    assert found.workers == {}
