"""Inspection of real video from a real server, healthy and with one fault at a time."""

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
from metabonk.encoding.sessions.nvml import Gpu, GpuInventory
from metabonk.encoding.sessions.pools import Pools
from metabonk.http.server import HttpServer
from metabonk.messages.workers import StreamState
from metabonk.settings import Settings
from metabonk.validation.inspect import inspect, inspect_pools
from metabonk.validation.inspect_page import inspect_page
from metabonk.validation.inspect_stream import inspect_stream
from metabonk.validation.observations import PageObservation, StreamObservation
from tests.support.frames import regular_times
from tests.support.machines import GEFORCE, FakeNvml
from tests.support.requirements import require
from tests.support.serving import free_port, free_ports, served
from tests.support.stage import stage
from tests.support.statuses import status
from tests.support.streaming_worker import FPS, SIZE, FakeWorker, make_page, make_video
from tests.support.waiting import GENEROUS_S

HEALTHY = make_video()
LIVE, STANDBY = StreamState.LIVE, StreamState.STANDBY


def inspect_worker(worker: FakeWorker) -> StreamObservation:
    worker.port = free_port()
    with served(worker.app(), worker.port):
        return inspect_stream(worker.status)


def test_a_healthy_stream_is_decoded_for_three_seconds():
    stream = inspect_worker(FakeWorker(HEALTHY))
    assert (stream.code, stream.state, stream.failure) == (200, LIVE, None)
    decoded = stream.video
    assert decoded is not None
    assert decoded.seconds == pytest.approx(3.0, abs=0.05)
    assert decoded.frames / decoded.seconds == pytest.approx(FPS, rel=0.02)
    assert (decoded.width, decoded.height) == SIZE
    assert (decoded.corrupt, decoded.dropped) == (0, 0)
    assert decoded.longest_gap_s == pytest.approx(2.0, abs=0.1)


def test_a_low_frame_rate_is_measured():
    decoded = inspect_worker(FakeWorker(make_video(regular_times(50, fps=12.0)))).video
    assert decoded is not None
    assert decoded.frames / decoded.seconds == pytest.approx(12, rel=0.05)


def test_frames_dropped_during_the_inspection_are_counted():
    decoded = inspect_worker(FakeWorker(HEALTHY, dropped_per_request=4)).video
    assert decoded is not None and decoded.dropped == 4


def test_a_missing_second_keyframe_counts_as_a_gap():
    decoded = inspect_worker(FakeWorker(make_video(keyframe_interval=1000))).video
    assert decoded is not None
    assert decoded.longest_gap_s == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("slices", [1, 4])
def test_corrupt_frames_are_counted(slices: int, monkeypatch: pytest.MonkeyPatch):
    # Each thread of the encoder makes a slice.
    monkeypatch.setattr("metabonk.encoding.backends.av.encoder_threads", lambda cores: slices)

    def damage(number: int, data: bytes) -> bytes:
        if number % 10 != 5:
            return data
        start, end = len(data) // 8, len(data) // 4
        return data[:start] + bytes(byte ^ 0x5A for byte in data[start:end]) + data[end:]

    decoded = inspect_worker(FakeWorker(make_video(damage=damage))).video
    assert decoded is not None and decoded.corrupt > 0


@pytest.mark.parametrize("data", [b"", b"no video at all" * 100, HEALTHY[:1200]])
def test_an_undecodable_stream_has_a_failure(data: bytes):
    stream = inspect_worker(FakeWorker(data))
    assert stream.code == 200 and stream.video is None
    assert stream.failure


def test_a_rejection_is_observed_with_its_error():
    stream = inspect_worker(FakeWorker(code=503, states=[STANDBY]))
    assert stream == StreamObservation(503, STANDBY, "no_encoder_session", retry_after=True)


def test_a_worker_that_makes_others_wait_for_its_stream_rejects_at_once():
    with stage(wait_s=60) as staged:
        staged.hub.set_state(STANDBY, "all 2 sessions are in use")
        stream = inspect_stream(status(stream_url=f"{staged.http}/stream.mp4"))
    assert (stream.code, stream.error) == (503, "no_encoder_session")


@pytest.mark.parametrize(
    ("worker", "error", "retry_after"),
    [
        (FakeWorker(code=503, states=[STANDBY], headers={}), "no_encoder_session", False),
        (FakeWorker(code=503, states=[STANDBY], body={"sorry": "no"}), None, True),
    ],
)
def test_a_rejection_without_error_or_retry_after_is_observed(
    worker: FakeWorker, error: str | None, retry_after: bool
):
    stream = inspect_worker(worker)
    assert (stream.error, stream.retry_after) == (error, retry_after)


def test_the_state_of_a_worker_that_changes_during_the_inspection_is_unknown():
    assert inspect_worker(FakeWorker(code=503, states=[LIVE, STANDBY])).state is None


def test_a_worker_that_does_not_respond_has_a_failure():
    stream = inspect_stream(FakeWorker(port=free_port()).status)
    assert stream.code is None and stream.state is None and stream.failure


class ChangingNvml(FakeNvml):
    """Reports the GPUs that a test sets."""

    def __init__(self, *gpus: Gpu) -> None:
        super().__init__(*gpus)
        self.gpus = gpus

    def inventory(self) -> GpuInventory:
        return GpuInventory(self.gpus)


@pytest.mark.parametrize("counted", [0, 1, 3])
def test_leases_are_compared_with_the_sessions_that_the_driver_counts(tmp_path: Path, counted: int):
    nvml = ChangingNvml(GEFORCE)
    pools = Pools(tmp_path, nvenc_limit=2, cpu_limit=1, nvml=nvml)
    pool = pools.nvenc(0)
    assert pool is not None
    lease = pool.take(worker="omega-0", purpose="stream", backend="av:h264_nvenc", gpu=0)
    assert isinstance(lease, Lease)
    with lease:
        nvml.gpus = (replace(GEFORCE, session_count=counted),)
        assert [each.open for each in inspect_pools(pools)[0].leases] == [False]
        lease.mark_opened()
        sessions, software = inspect_pools(pools)
    (held,) = sessions.leases
    assert (held.worker, held.backend, held.open) == ("omega-0", "av:h264_nvenc", True)
    assert (sessions.counted, sessions.external) == (counted, max(0, counted - 1))
    assert (software.leases, software.counted) == ((), None)


@contextmanager
def inspect_test_page(
    *script: object, token: str | None = None, **options: int
) -> Iterator[PageObservation]:
    port = free_port()
    app = make_page(*script, **options)  # type: ignore[arg-type]
    with served(app, port), httpx.Client(timeout=GENEROUS_S) as client:
        secret = SecretStr(token) if token else None
        yield inspect_page(client, f"http://127.0.0.1:{port}", secret)


def test_the_text_of_a_page_includes_the_output_of_its_script():
    require(find_browser(), "a browser", apt="chromium")
    with inspect_test_page() as observation:
        assert (observation.code, observation.broken_assets) == (200, ())
        assert observation.text is not None and observation.text.split() == ["omega-0"]


def test_a_page_whose_script_fails_stays_empty():
    require(find_browser(), "a browser", apt="chromium")
    with inspect_test_page("throw new Error('broken')") as observation:
        assert observation.text is not None and not observation.text.strip()


def test_a_missing_asset_of_the_page_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(browser, "BROWSERS", ())
    with inspect_test_page(None) as observation:
        assert observation == PageObservation(200, ("/assets/main.js",), None)


def test_a_page_that_rejects_or_does_not_respond_is_observed():
    with inspect_test_page(code=401) as observation:
        assert observation == PageObservation(401)
    with httpx.Client(timeout=GENEROUS_S) as client:
        assert inspect_page(client, f"http://127.0.0.1:{free_port()}", None) == PageObservation(
            None
        )


def test_a_page_behind_a_token_is_not_opened_in_a_browser():
    with inspect_test_page(token="a-token-that-nobody-guesses") as observation:
        assert observation == PageObservation(200, (), None)


def test_without_a_fleet_there_are_no_workers_and_no_page(tmp_path: Path):
    orchestrator, closed_port = free_ports(2)
    settings = Settings.model_validate(
        {"ports": {"orchestrator": orchestrator}, "paths": {"runtime": tmp_path}}
    )
    observation = inspect(settings, ["omega-0"], f"http://127.0.0.1:{closed_port}")
    assert observation.workers is None
    assert observation.page == PageObservation(None)


def test_a_fleet_on_the_ipv6_loopback_is_found(tmp_path: Path):
    orchestrator, closed_port = free_ports(2)
    settings = Settings.model_validate(
        {"host": "::1", "ports": {"orchestrator": orchestrator}, "paths": {"runtime": tmp_path}}
    )
    app = FastAPI()
    app.get("/workers")(lambda: {})
    server = HttpServer(app, settings.internal_host, orchestrator)
    server.start()
    try:
        observation = inspect(settings, ["omega-0"], f"http://[::1]:{closed_port}")
    finally:
        server.stop()
    assert observation.workers == {}
