"""The worker process: wires its threads together, plays in the main thread, and ends it all."""

import logging
from pathlib import Path

from metabonk.encoding.encoder import EncoderSettings
from metabonk.encoding.opening import Opener
from metabonk.encoding.probe import Prover
from metabonk.encoding.sessions import open_pools
from metabonk.games import make_game
from metabonk.http_server import HttpServer
from metabonk.messages import Mode
from metabonk.policy import Actor
from metabonk.process import StopSignal
from metabonk.runtime_dir import runtime_dir
from metabonk.settings import Settings
from metabonk.streaming.hub import Hub
from metabonk.streaming.http import stream_routes
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.websocket import websocket_routes
from metabonk.worker.app import make_app
from metabonk.worker.heartbeat import Heart
from metabonk.worker.play import Player
from metabonk.worker.status import StatusReport
from metabonk.worker.streamer import Streamer
from metabonk.worker.uplink import Uplink

log = logging.getLogger(__name__)

FIRST_WEIGHTS_S = 0.2


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
    instance_id = f"omega-{index}"
    stream = settings.stream
    game = make_game(
        settings.game,
        seed=settings.learning.seed + index,
        frame_skip=settings.learning.frame_skip,
    )
