"""The status object of one worker, and the routes that serve it."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from metabonk.encoding.sessions import Pools
from metabonk.errors import EncodingError
from metabonk.http.app import Lifespan, make_http_app
from metabonk.http.metrics import ModelCollector, metrics_routes
from metabonk.messages.base import MAX_LONG_TEXT, MAX_SHORT_TEXT, Loop
from metabonk.messages.workers import Counters, GuestStatus, StreamState, WorkerStatus
from metabonk.printable import printable
from metabonk.settings import Settings
from metabonk.streaming.hub import Hub
from metabonk.worker.identity import Identity
from metabonk.worker.streamer import Streamer


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The share of the status that comes from where frames come from.

    Attributes:
        source_size: width and height drawn now, pixels.
        observation_size: width and height of what the policy sees; of a vector, its length and 1.
        counters: of the worker in the run.
        steps_per_s: policy steps per second.
        episode_return: of the last finished episode; None before the first.
        policy_version: of the weights that act now; None for a guest.
        turns: of the loops that run now.
        guest: state of a guest; None for other workers.
        game: of a guest; None: the fleet's.
    """

    source_size: tuple[int, int]
    observation_size: tuple[int, int]
    counters: Counters
    steps_per_s: float
    episode_return: float | None
    policy_version: int | None
    turns: Mapping[Loop, int] = field(default_factory=dict)
    guest: GuestStatus | None = None
    game: str | None = None


@dataclass(frozen=True, slots=True)
class _NvencUsage:
    """Sessions of the worker's GPU, and why the count may be off; None: unknown."""

    used: int | None = None
    limit: int | None = None
    note: str | None = None


class StatusReport:
    """Composes the status of a worker from its stream's and its source's; thread-safe.

    Args:
        settings: of the fleet.
        identity: of the worker.
        gpu_index: of its GPU, as NVML counts; None without one.
        streamer: of the stream.
        hub: of the stream.
        pools: of encoder sessions.
        source: returns the current status of the source.
    """

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        gpu_index: int | None,
        *,
        streamer: Streamer,
        hub: Hub,
        pools: Pools,
        source: Callable[[], SourceStatus],
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._gpu_index = gpu_index
        self._streamer = streamer
        self._hub = hub
        self._pools = pools
        self._source = source
        self._started = time.monotonic()
        self._last_usage = _NvencUsage()

    def __call__(self) -> WorkerStatus:
        """Return the current status."""
        source = self._source()
        stream = self._streamer.stats()
        hub = self._hub.stats()
        encoded = stream.settings
        # Without a stream, viewers get snapshots, as they are drawn.
        shown = (encoded.width, encoded.height) if encoded else source.source_size
        nvenc = self._nvenc_usage()
        return WorkerStatus(
            instance_id=self._identity.name,
            worker_index=self._identity.index,
            kind=self._identity.kind,
            pid=os.getpid(),
            game=(source.game or self._settings.game)[:MAX_SHORT_TEXT],
            mode=self._settings.mode,
            gpu_index=self._gpu_index,
            uptime_s=round(time.monotonic() - self._started, 3),
            stream_url=f"http://{self._settings.internal_authority(self._identity.port)}/stream.mp4",
            stream_enabled=stream.enabled,
            stream_state=stream.state,
            stream_backend=stream.backend,
            stream_error=_shortened(stream.error),
            streamer_last_error=_shortened(stream.last_error),
            stream_active_clients=hub.clients,
            stream_dedicated_clients=hub.dedicated_clients,
            stream_fps=round(hub.fps, 2) if stream.backend else 0.0,
            stream_bitrate=round(hub.bitrate) if stream.backend else 0,
            stream_target_fps=encoded.fps if encoded else None,
            stream_quality=stream.quality,
            spectator_width=shown[0],
            spectator_height=shown[1],
            frames_ok=stream.frames_ok,
            frames_fps=round(stream.frames_fps, 2),
            frames_dropped=stream.frames_dropped,
            pixel_src_width=source.source_size[0],
            pixel_src_height=source.source_size[1],
            pixel_obs_width=source.observation_size[0],
            pixel_obs_height=source.observation_size[1],
            nvenc_used=nvenc.used,
            nvenc_limit=nvenc.limit,
            nvenc_note=_shortened(nvenc.note),
            nvenc_slot=stream.nvenc_slot,
            step=source.counters.step,
            steps_per_s=round(source.steps_per_s, 2),
            episode=source.counters.episode,
            episode_return=source.episode_return,
            policy_version=source.policy_version,
            turns=dict(source.turns),
            guest=source.guest,
        )

    def _nvenc_usage(self) -> _NvencUsage:
        """Return the count of sessions; the last one while it can't be read."""
        pool = self._pools.nvenc(self._gpu_index or 0)
        if pool is not None:
            try:
                usage = pool.usage()
            except EncodingError as error:
                return replace(self._last_usage, note=str(error))
            self._last_usage = _NvencUsage(usage.used, usage.limit, usage.note)
        return self._last_usage


def _shortened(error: str | None) -> str | None:
    """Cut an error, which may quote other programs, to what a status may carry."""
    return None if error is None else printable(error)[:MAX_LONG_TEXT]


def make_app(
    instance_id: str,
    status: Callable[[], WorkerStatus],
    *routers: APIRouter,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """Make the application of one worker.

    Args:
        instance_id: of the worker.
        status: returns the current status.
        routers: of the stream.
        lifespan: entered while it is served.
    """
    app = make_http_app("MetaBonk worker", lifespan=lifespan)
    for router in routers:
        app.include_router(router)
    collector = ModelCollector(status, "metabonk_worker", ["instance_id"], _stream_state)
    app.include_router(metrics_routes(collector))

    @app.get("/status")
    @app.get(f"/api/worker/{instance_id}/status", include_in_schema=False)
    def get_status() -> WorkerStatus:
        """Return the current status of the worker."""
        return status()

    @app.get("/healthz", response_class=PlainTextResponse)
    def get_health() -> str:
        """Answers while the process lives."""
        return "ok\n"

    return app


def _stream_state(status: WorkerStatus) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "metabonk_worker_stream_state",
        "1 for the state that the stream is in",
        labels=["instance_id", "state"],
    )
    for state in StreamState:
        family.add_metric([status.instance_id, state], state is status.stream_state)
    yield family
