"""The status object of one worker, gathered from its parts."""

import os
import time
from collections.abc import Callable, Iterator

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from metabonk.encoding.sessions import Pools
from metabonk.games import Game
from metabonk.http.app import Lifespan, make_http_app
from metabonk.http.metrics import ModelCollector, metrics_routes
from metabonk.messages import MAX_LONG_TEXT, StreamState, WorkerStatus
from metabonk.policy import Actor
from metabonk.settings import Settings
from metabonk.streaming.hub import Hub
from metabonk.worker.play import PlayLoop
from metabonk.worker.streamer import Streamer


class StatusReport:
    """Answers how the worker is; any thread may ask.

    Args:
        settings: of the fleet.
        index: of the worker.
        gpu_index: of its GPU, as NVML counts; None without one.
    """

    def __init__(
        self,
        settings: Settings,
        index: int,
        gpu_index: int | None,
        *,
        game: Game,
        actor: Actor,
        player: PlayLoop,
        streamer: Streamer,
        hub: Hub,
        pools: Pools,
    ) -> None:
        self._settings = settings
        self._index = index
        self._gpu_index = gpu_index
        self._game = game
        self._actor = actor
        self._player = player
        self._streamer = streamer
        self._hub = hub
        self._pools = pools
        self._started = time.monotonic()

    def __call__(self) -> WorkerStatus:
        """The status object now."""
        stream = self._streamer.figures()
        hub = self._hub.figures()
        counted = self._player.counted()
        drawn = self._game.source_size
        # Without a stream spectators get the picture as it is drawn, one by one.
        shown = (encoded.width, encoded.height) if (encoded := stream.settings) else drawn
        seen = self._game.observation_shape
        obs_height, obs_width = seen[:2] if len(seen) > 1 else (1, *seen)
        used, limit = self._nvenc_usage()
        port = self._settings.worker_port(self._index)
        return WorkerStatus(
            instance_id=f"omega-{self._index}",
            worker_index=self._index,
            pid=os.getpid(),
            game=self._settings.game,
            mode=self._settings.mode,
            gpu_index=self._gpu_index,
            uptime_s=round(time.monotonic() - self._started, 3),
            stream_url=f"http://{self._settings.internal_authority(port)}/stream.mp4",
            stream_enabled=self._settings.stream.enabled,
            stream_state=stream.state,
            stream_backend=stream.backend,
            stream_error=_sentence(stream.error),
            streamer_last_error=_sentence(stream.last_error),
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
            pixel_src_width=drawn[0],
            pixel_src_height=drawn[1],
            pixel_obs_width=obs_width,
            pixel_obs_height=obs_height,
            nvenc_used=used,
            nvenc_limit=limit,
            nvenc_slot=stream.nvenc_slot,
            step=counted.step,
            steps_per_s=round(self._player.steps.per_second(), 2),
            episode=counted.episode,
            episode_return=self._player.episode_return,
            policy_version=self._actor.version,
        )

    def _nvenc_usage(self) -> tuple[int | None, int | None]:
        pool = self._pools.nvenc(self._gpu_index or 0)
        if pool is None:
            return None, None
        usage = pool.usage()
        return usage.used, usage.limit


def _sentence(error: str | None) -> str | None:
    """No longer than a status may be; other programs wrote parts of it."""
    return None if error is None else error[:MAX_LONG_TEXT]


def make_app(
    instance_id: str,
    status: Callable[[], WorkerStatus],
    *routers: APIRouter,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """The application of one worker.

    Args:
        instance_id: the worker's name.
        status: the status object now.
        routers: the stream's routes.
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
        """The worker as it is now."""
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
