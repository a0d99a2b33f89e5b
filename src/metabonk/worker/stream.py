"""Everything that shows one source of frames, whatever draws them.

Knows neither games nor policies, and imports neither PyTorch nor a game engine.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.ladder import Rung, unavailable
from metabonk.encoding.probe import EncoderProbe, ProbeCache
from metabonk.encoding.session import EncoderOpener
from metabonk.encoding.sessions import open_pools
from metabonk.encoding.sessions.gpu_selection import gpu_of_worker
from metabonk.frame import Frame
from metabonk.http.server import HttpServer
from metabonk.messages.streams import PolicyMessage
from metabonk.messages.workers import EpisodeReport, HeartbeatReply, WorkerKind
from metabonk.settings import Settings
from metabonk.settings.schema import Stream
from metabonk.streaming.clip_http import clip_routes
from metabonk.streaming.http import stream_routes
from metabonk.streaming.hub import Hub
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.webrtc import WebRtc, restrict_ice_addresses
from metabonk.streaming.websocket import websocket_routes
from metabonk.streaming.whep import whep_routes
from metabonk.system.periodic_thread import PeriodicThread
from metabonk.worker.heartbeat import INTERVAL_S, HeartbeatSender, Recording
from metabonk.worker.identity import Identity
from metabonk.worker.quality import AdaptiveQuality, renditions
from metabonk.worker.status import SourceStatus, StatusReport, make_app
from metabonk.worker.streamer import Streamer

KEEP_LEASES_S = 1.0
"""Interval at which leases are held anew if their folder was removed; see ``slots.FRESH_S``."""

GUEST_HEARTBEAT_S = 1.0
"""Interval of heartbeats of a guest, of which there may be many."""

GOLDEN_RATIO = 0.618
"""Its multiples, modulo 1, spread evenly from 0 to 1, however many there are."""


class WorkerStream:
    """The stream of one worker: encoder, viewers, HTTP server and heartbeat.

    A source of frames asks it whether and how to draw (``fps``, ``render_size``), hands it frames
    and episodes, and is reported to the orchestrator with it.

    Args:
        settings: of the fleet.
        settings_file: they are read from; probes of encoders read it too.
        identity: of the worker; also says which port it serves on.

    Attributes:
        name: of the worker.
        gpu: of the worker; None without one.
        hub: of the stream.
        streamer: makes the stream.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """

    def __init__(self, settings: Settings, settings_file: Path, identity: Identity) -> None:
        self.name = identity.name
        self._settings = settings
        self._identity = identity
        self._pools = open_pools(settings)
        self.gpu = gpu_of_worker(identity.index, self._pools.inventory.gpus)
        self.hub = Hub()
        self.streamer = Streamer(
            EncoderOpener(
                self._pools,
                EncoderProbe(settings_file, ProbeCache(self._pools.folder)),
                worker=self.name,
                gpu_index=self.gpu.index if self.gpu else 0,
                allow_cpu_fallback=settings.stream.allow_cpu_fallback,
                unavailable=unavailable(settings.stream.engine),
            ),
            self.hub,
            AdaptiveQuality(
                lambda rung: renditions_on(settings.stream, rung), identity.index * GOLDEN_RATIO % 1
            ),
            enabled=settings.stream.enabled,
        )
        self._newest: Frame | None = None
        self._snapshot_asked_at = float("-inf")
        self._heartbeat: HeartbeatSender | None = None
        self._started = contextlib.ExitStack()

    def start(self, source: Callable[[], SourceStatus], action_names: Sequence[str]) -> None:
        """Serve the stream, and report it with its source to the orchestrator.

        Args:
            source: returns the source's current status; called on any thread.
            action_names: of the options that thoughts give probabilities of.

        Raises:
            StartError: the port can't be used.
        """
        settings = self._settings
        status = StatusReport(
            settings,
            self._identity,
            self.gpu.index if self.gpu else None,
            streamer=self.streamer,
            hub=self.hub,
            pools=self._pools,
            source=source,
        )
        restrict_ice_addresses(settings.media_addresses)
        webrtc = WebRtc(self.hub)
        enabled = settings.stream.enabled
        snapshot = Snapshot(self._newest_pixels)
        app = make_app(
            self.name,
            status,
            stream_routes(self.hub, snapshot, enabled=enabled),
            clip_routes(self.hub, self._clip_name, action_names),
            websocket_routes(self.hub, PolicyMessage(actions=list(action_names)), snapshot),
            whep_routes(webrtc, lambda: self.hub.state, self.name, enabled=enabled),
            lifespan=webrtc.lifespan,
        )
        server = HttpServer(app, settings.internal_host, self._identity.port)
        orchestrator = settings.internal_authority(settings.ports.orchestrator)
        is_guest = self._identity.kind is WorkerKind.GUEST
        interval_s = GUEST_HEARTBEAT_S if is_guest else INTERVAL_S
        self._heartbeat = HeartbeatSender(orchestrator, status, self._on_reply, interval_s)
        server.start()
        self._started.callback(server.stop)
        keeper = PeriodicThread(self._pools.keep, KEEP_LEASES_S, name="leases")
        for part in (self.streamer, self._heartbeat, keeper):
            part.start()
            self._started.callback(part.close)

    def close(self) -> None:
        """Stop serving, and release the encoder session. Safe to call before ``start``."""
        self._started.close()

    @property
    def fps(self) -> int | None:
        """Rate at which frames are to be submitted, repeats included; None: none are encoded."""
        return self.streamer.fps

    @property
    def render_size(self) -> tuple[int, int] | None:
        """Width and height to draw at from the next episode on, pixels; None: small, as unseen."""
        return self.streamer.render_size

    @property
    def accepts_cuda_frames(self) -> bool:
        """True while frames are encoded in GPU memory."""
        return self.streamer.accepts_cuda_frames

    def wait_for_desired(self, timeout_s: float) -> bool:
        """Wait for the director's first assignment; return whether it came in time."""
        return self.streamer.wait_for_desired(timeout_s)

    def on_episode_start(self, *, large: bool) -> None:
        """Note that an episode has begun, and whether it is drawn at the viewers' size."""
        self.streamer.on_episode_start(large=large)

    def submit_frame(
        self,
        frame: Frame,
        *,
        waited_s: float = 0.0,
        deciding_s: float = 0.0,
        repeat_at: Sequence[float] = (),
        snapshot: Frame | None = None,
    ) -> None:
        """Show a frame; never waits.

        Args:
            frame: newer than the one before.
            waited_s: how long the source had to wait for its clock before, seconds.
            deciding_s: how long it was decided before what to do, seconds.
            repeat_at: when to show it again, unless a newer one has come, seconds, monotonic.
            snapshot: to show in snapshots instead.
        """
        self._newest = snapshot or frame
        self.streamer.submit_frame(
            frame, waited_s=waited_s, deciding_s=deciding_s, repeat_at=repeat_at
        )

    def set_snapshot(self, frame: Frame) -> None:
        """Show a frame in snapshots only."""
        self._newest = frame

    def snapshot_asked_s(self) -> float:
        """Return how long nobody has asked for a snapshot, seconds; infinite: never."""
        return time.monotonic() - self._snapshot_asked_at

    def disable(self, reason: str) -> None:
        """End the stream for good; viewers are told the reason, and snapshots stay."""
        self.streamer.disable(reason)

    def add_episode(self, episode: EpisodeReport, recording: Recording | None = None) -> None:
        """Report a finished episode to the orchestrator, with its log if it was recorded."""
        if self._heartbeat is not None:
            self._heartbeat.add_episode(episode, recording)

    @property
    def _clip_name(self) -> str:
        is_guest = self._identity.kind is WorkerKind.GUEST
        return self.name if is_guest else f"{self.name}-{self._settings.game}"

    def _newest_pixels(self) -> NDArray[np.uint8] | None:
        self._snapshot_asked_at = time.monotonic()
        newest = self._newest
        return None if newest is None else newest.pixels

    def _on_reply(self, reply: HeartbeatReply) -> None:
        self.streamer.set_desired(reply.desired, reply.reason)


def renditions_on(stream: Stream, rung: Rung) -> tuple[EncoderSettings, ...]:
    """List what a stream may be on a rung, best first."""
    width, height = stream.effective_size(hardware=rung.hardware)
    wanted = EncoderSettings(
        width=width,
        height=height,
        fps=stream.effective_fps,
        bitrate=stream.effective_bitrate(hardware=rung.hardware),
        gop_s=stream.keyframe_interval_s,
    )
    return renditions(wanted) if stream.adaptive else (wanted,)
