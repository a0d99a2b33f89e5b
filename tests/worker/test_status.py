"""The worker's own routes."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from metabonk.encoding.probe import EncoderProbe, ProbeCache
from metabonk.encoding.session import EncoderOpener
from metabonk.encoding.sessions import Pools
from metabonk.encoding.sessions.slots import LOCK_TIMEOUT_S, locked
from metabonk.http.server import HttpServer
from metabonk.messages.workers import Counters, Mode, StreamState, WorkerStatus
from metabonk.settings import Settings
from metabonk.streaming.hub import Hub
from metabonk.worker.identity import Identity
from metabonk.worker.quality import AdaptiveQuality
from metabonk.worker.status import SourceStatus, StatusReport, make_app
from metabonk.worker.stream import renditions_on
from metabonk.worker.streamer import Streamer
from tests.support.machines import GEFORCE, pools_of
from tests.support.serving import free_ports
from tests.support.waiting import GENEROUS_S

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
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=GENEROUS_S) as client:
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


def report(pools: Pools) -> StatusReport:
    settings, hub = Settings(), Hub()
    probe = EncoderProbe(pools.folder / "settings.json", ProbeCache(pools.folder))
    opener = EncoderOpener(pools, probe, worker="omega-0", gpu_index=0, allow_cpu_fallback=False)
    quality = AdaptiveQuality(lambda rung: renditions_on(settings.stream, rung), 0.0)
    return StatusReport(
        settings,
        Identity.of_worker(settings, 0),
        0,
        streamer=Streamer(opener, hub, quality, enabled=True),
        hub=hub,
        pools=pools,
        source=lambda: SourceStatus((1, 1), (1, 1), Counters(step=0, episode=0), 0.0, None, 0),
    )


def test_a_status_neither_waits_for_a_stuck_process_nor_fails_for_it(tmp_path: Path):
    pools = pools_of(tmp_path, GEFORCE, limit=2)
    status = report(pools)
    assert (status().nvenc_used, status().nvenc_limit, status().nvenc_note) == (0, 2, None)
    pool = pools.nvenc(0)
    assert pool is not None
    pool.take(worker="omega-0", purpose="stream", gpu=0)
    with locked(tmp_path / "nvenc-gpu0" / "pool.lock"):
        began = time.monotonic()
        stuck = status()
        assert time.monotonic() - began < LOCK_TIMEOUT_S
    assert (stuck.nvenc_used, stuck.nvenc_limit) == (1, 2)
    assert "appears stuck" in (stuck.nvenc_note or "")
    assert status().nvenc_note is None


def test_a_status_keeps_the_last_count_while_the_slots_cannot_be_used(tmp_path: Path):
    status = report(pools_of(tmp_path, GEFORCE, limit=2))
    assert status().nvenc_limit == 2
    (tmp_path / "nvenc-gpu0").chmod(0o777)
    unusable = status()
    assert (unusable.nvenc_used, unusable.nvenc_limit) == (0, 2)
    assert "writable by other users" in (unusable.nvenc_note or "")
