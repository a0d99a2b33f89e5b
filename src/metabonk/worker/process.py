"""The worker process: wires its threads together, plays in the main thread, and ends it all."""

import contextlib
import logging
from pathlib import Path

import torch

from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.ladder import Rung, unavailable
from metabonk.encoding.probe import EncoderProbe, ProbeCache
from metabonk.encoding.session import EncoderOpener
from metabonk.encoding.sessions import open_pools
from metabonk.encoding.sessions.gpu_selection import gpu_of_worker
from metabonk.encoding.sessions.nvml import Gpu
from metabonk.errors import CheckpointError
from metabonk.games import make_game
from metabonk.games.preprocessing import observe
from metabonk.http.server import HttpServer
from metabonk.messages import HeartbeatReply, Mode, PolicyMessage
from metabonk.policy import Actor, DeviceObserver, PolicySpec, RolloutBuilder
from metabonk.policy.env_runner import EnvRunner
from metabonk.runs.checkpoints import newest_weights
from metabonk.runs.layout import settings_file
from metabonk.settings import Settings
from metabonk.streaming.http import stream_routes
from metabonk.streaming.hub import Hub
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.webrtc import WebRtc, restrict_ice_addresses
from metabonk.streaming.websocket import websocket_routes
from metabonk.streaming.whep import whep_routes
from metabonk.system.process import StopSignal
from metabonk.worker.heartbeat import HeartbeatSender
from metabonk.worker.learner_client import LearnerClient
from metabonk.worker.play import PlayLoop
from metabonk.worker.quality import renditions
from metabonk.worker.saliency import SaliencyThread
from metabonk.worker.sampler import EnvPool
from metabonk.worker.status import StatusReport, make_app
from metabonk.worker.streamer import Streamer

log = logging.getLogger(__name__)

FIRST_WISH_S = 1.0
"""The orchestrator is up long before any worker; one that is slow is not waited for."""

SEED_STEP = 1000
"""Between the seeds of a worker's games; there are fewer workers, so no two games share a seed."""

GOLDEN_RATIO = 0.618
"""Its multiples are spread evenly over the whole numbers between, however many there are."""


def run(settings: Settings, index: int, run_dir: Path) -> None:
    """Plays, streams and sends rollouts until SIGTERM.

    Args:
        settings: of the fleet.
        index: of this worker; its port is ``ports.worker + index``.
        run_dir: folder of the run, which holds ``settings.json`` and checkpoints.

    Raises:
        MetaBonkError: the game, the port or the slot directory can't be used.
    """
    stop = StopSignal()
    stop.watch_threads()
    worker = f"omega-{index}"
    pools = open_pools(settings)
    gpu = gpu_of_worker(index, pools.inventory.gpus)
    learning = settings.learning
    seed = learning.seed + index
    device = _device(gpu)
    sight = DeviceObserver(device) if device is not None else None
    eye = sight.observe if sight is not None else observe
    game = make_game(settings.game, learning, seed=seed, eye=eye)
    with contextlib.ExitStack() as owned:
        owned.callback(game.close)
        actor = Actor(PolicySpec.of(game, learning), seed=seed, device=device)
        hub = Hub()
        streamer = Streamer(
            EncoderOpener(
                pools,
                EncoderProbe(settings_file(run_dir, settings.mode), ProbeCache(pools.folder)),
                worker=worker,
                gpu_index=gpu.index if gpu else 0,
                allow_cpu_fallback=settings.stream.allow_cpu_fallback,
                unavailable=unavailable(settings.stream.engine),
            ),
            hub,
            lambda rung: _renditions(settings, rung),
            enabled=settings.stream.enabled,
            spread=index * GOLDEN_RATIO % 1,
        )
        gaze = SaliencyThread(actor, hub)
        uplink = None
        if settings.mode is Mode.TRAIN:
            uplink = LearnerClient(
                f"http://{settings.internal_authority(settings.ports.learner)}",
                games=settings.games_per_worker,
            )
        else:
            actor.load(_trained_weights(run_dir))

        def open_lane(number: int) -> EnvRunner:
            lane = EnvRunner(
                make_game(settings.game, learning, seed=seed + SEED_STEP * number),
                number,
                _builder(settings, actor),
                lambda: actor.forget(number),
            )
            lane.begin()
            return lane

        def first_begins() -> None:
            actor.forget(0)
            player.begun()

        lanes = EnvPool(
            EnvRunner(game, 0, _builder(settings, actor), first_begins),
            open_lane,
            settings.games_per_worker,
        )
        owned.callback(lanes.close)
        player = PlayLoop(
            lanes,
            actor,
            streamer,
            uplink,
            lambda episode: heart.finished(episode),
            gaze.consider,
            worker_index=index,
            waits=settings.worker.wait_for_learner,
            beside_live=settings.plays_beside_live,
            overlaps=settings.overlaps_deciding,
            sight=sight,
        )
        status = StatusReport(
            settings,
            index,
            gpu.index if gpu else None,
            game=game,
            actor=actor,
            player=player,
            streamer=streamer,
            hub=hub,
            pools=pools,
        )

        def heed(reply: HeartbeatReply) -> None:
            player.go_on_from(reply.counted)
            streamer.desire(reply.desired, reply.reason)

        orchestrator = settings.internal_authority(settings.ports.orchestrator)
        heart = HeartbeatSender(f"http://{orchestrator}", status, heed)
        restrict_ice_addresses(settings.media_addresses)
        webrtc = WebRtc(hub)
        server = HttpServer(
            make_app(
                worker,
                status,
                stream_routes(
                    hub,
                    Snapshot(lambda: player.newest_frame),
                    enabled=settings.stream.enabled,
                ),
                websocket_routes(hub, PolicyMessage(actions=list(game.action_names))),
                whep_routes(webrtc, lambda: hub.state, worker, enabled=settings.stream.enabled),
                lifespan=webrtc.lifespan,
            ),
            settings.internal_host,
            settings.worker_port(index),
        )
        server.start()
        owned.callback(server.stop)
        for part in (uplink, streamer, heart, gaze):
            if part is not None:
                part.start()
                owned.callback(part.close)
        where = f", on GPU {gpu.index} ({gpu.name})" if gpu else ""
        log.info("plays %s on port %d%s", settings.game, settings.worker_port(index), where)
        # A game that begins at the size it is to be shown at need not be started a second time.
        streamer.wait_for_wish(FIRST_WISH_S)
        player.run(stop.is_set)
        stop.raise_failure()
        counted = player.counted()
        log.info("stops after %d steps and %d episodes", counted.step, counted.episode)


def _device(gpu: Gpu | None) -> torch.device | None:
    """Where the policy acts; None leaves it to the actor."""
    if gpu is None or not torch.cuda.is_available():
        return None
    return torch.device("cuda", gpu.ordinal)


def _builder(settings: Settings, actor: Actor) -> RolloutBuilder | None:
    if settings.mode is Mode.PLAY:
        return None
    return RolloutBuilder(actor.spec, settings.learning.rollout_steps)


def _trained_weights(run_dir: Path) -> bytes:
    weights = newest_weights(run_dir)
    if weights is None:
        raise CheckpointError(f"{run_dir} holds no checkpoint to play; train first")
    return weights


def _renditions(settings: Settings, rung: Rung) -> tuple[EncoderSettings, ...]:
    """What a stream may be on this rung, best first."""
    stream = settings.stream
    width, height = stream.effective_size(hardware=rung.hardware)
    wanted = EncoderSettings(
        width=width,
        height=height,
        fps=stream.effective_fps,
        bitrate=stream.effective_bitrate(hardware=rung.hardware),
        gop_s=stream.keyframe_interval_s,
    )
    return renditions(wanted) if stream.adaptive else (wanted,)
