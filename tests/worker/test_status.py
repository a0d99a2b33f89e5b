"""The worker's own routes."""

from collections.abc import Iterator

import httpx
import pytest

from metabonk.http.server import HttpServer
from metabonk.messages import Mode, StreamState, WorkerStatus
from metabonk.worker.status import make_app
from tests.support.serving import free_ports

STATUS = WorkerStatus(
    instance_id="omega-0",
    worker_index=0,
    pid=1,
    game="doom:basic",
    mode=Mode.TRAIN,
    gpu_index=None,
    uptime_s=1.5,
    stream_url="http://127.0.0.1:5000/stream.mp4",
    stream_enabled=True,
    stream_state=StreamState.LIVE,
    spectator_width=1280,
    spectator_height=720,
    pixel_src_width=1280,
    pixel_src_height=720,
    pixel_obs_width=128,
    pixel_obs_height=72,
    step=12,
    steps_per_s=7.5,
)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    (port,) = free_ports(1)
    server = HttpServer(make_app("omega-0", lambda: STATUS), "127.0.0.1", port)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    server.stop()


@pytest.mark.parametrize("path", ["/status", "/api/worker/omega-0/status"])
def test_the_status_is_served_under_both_paths(client: httpx.Client, path: str):
    assert WorkerStatus.model_validate(client.get(path).json()) == STATUS


def test_another_workers_name_is_not_found(client: httpx.Client):
    answer = client.get("/api/worker/omega-1/status")
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.json()["message"]


def test_metrics_hold_every_number_and_the_state(client: httpx.Client):
    text = client.get("/metrics").text
    assert 'metabonk_worker_step{instance_id="omega-0"} 12.0' in text
    assert 'metabonk_worker_steps_per_s{instance_id="omega-0"} 7.5' in text
    assert 'metabonk_worker_stream_state{instance_id="omega-0",state="live"} 1.0' in text
    assert 'metabonk_worker_stream_state{instance_id="omega-0",state="standby"} 0.0' in text
    assert "metabonk_worker_nvenc_used{" not in text, "unknown is not zero"


def test_health_answers(client: httpx.Client):
    assert client.get("/healthz").text == "ok\n"
