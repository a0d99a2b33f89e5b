"""Process to attack: ``python -m tests.support.fuzz_target worker|orchestrator PORT FOLDER``.

Routes, hub, encoder, state and database are those of the real process; games and children are
missing. It exits when its standard input is closed.
"""

import sys
from pathlib import Path

from fastapi import FastAPI

from metabonk.encoding.sessions import open_pools
from metabonk.http.server import HttpServer
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.replays.service import make_replays
from metabonk.orchestrator.servers import make_apps
from metabonk.runs.episodes import EpisodeStore
from metabonk.settings import Settings
from metabonk.streaming.http import stream_routes
from metabonk.streaming.snapshot import Snapshot
from metabonk.streaming.websocket import websocket_routes
from metabonk.streaming.whep import whep_routes
from metabonk.system.process import configure_logging
from metabonk.worker.status import make_app
from tests.support.frames import draw
from tests.support.stage import POLICY, Stage, restrict_ice_addresses
from tests.support.statuses import status

WORKERS = 3


def worker(port: int, folder: Path) -> None:
    """Run a live worker."""
    restrict_ice_addresses(["127.0.0.1"])
    stage = Stage()
    app = make_app(
        "omega-0",
        lambda: status(stream_active_clients=stage.hub.stats().clients),
        stream_routes(stage.hub, Snapshot(lambda: draw(0))),
        websocket_routes(stage.hub, POLICY),
        whep_routes(stage.webrtc, lambda: stage.hub.state, "omega-0"),
        lifespan=stage.webrtc.lifespan,
    )
    serve(app, port)
    stage.go_live()
    sys.stdin.read()
    stage.stop_encoding()


def orchestrator(port: int, folder: Path) -> None:
    """Run the orchestrator's own server."""
    settings = Settings.model_validate(
        {
            "workers": WORKERS,
            "paths": {"runs": folder, "logs": folder},
            "nvenc": {"slot_dir": folder},
        }
    )
    store = EpisodeStore(folder, settings.game, max_log_bytes=10**6)
    state = FleetState(settings, store)
    api, _ = make_apps(state, dict, open_pools(settings), make_replays(settings), None)
    serve(api, port)
    sys.stdin.read()


def serve(app: FastAPI, port: int) -> None:
    """Serve an application, and say so."""
    HttpServer(app, "127.0.0.1", port).start()
    print("serves", flush=True)


if __name__ == "__main__":
    configure_logging(sys.argv[1])
    {"worker": worker, "orchestrator": orchestrator}[sys.argv[1]](
        int(sys.argv[2]), Path(sys.argv[3])
    )
