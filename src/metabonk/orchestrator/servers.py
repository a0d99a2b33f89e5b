"""HTTP servers of the orchestrator: its API, and the page with the API and every worker."""

import contextlib
import importlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from metabonk.encoding.sessions import Pools
from metabonk.errors import EncodingError
from metabonk.http.app import make_http_app
from metabonk.http.embed import Embedding
from metabonk.http.metrics import metrics_routes
from metabonk.http.server import HttpServer
from metabonk.messages.sessions import PoolStatus
from metabonk.messages.workers import Mode
from metabonk.orchestrator.alerts.thread import incident_routes
from metabonk.orchestrator.api import (
    episodes_unreadable,
    fleet_routes,
    heartbeat_routes,
    no_such_episode,
    no_such_run,
    pool_statuses,
    run_routes,
    sessions_unreadable,
)
from metabonk.orchestrator.embed_routes import embed_routes
from metabonk.orchestrator.event_routes import event_routes
from metabonk.orchestrator.feed import Feed
from metabonk.orchestrator.fleet.state import FleetState
from metabonk.orchestrator.gateway import go2rtc_proxy
from metabonk.orchestrator.gateway.worker_pipe import WorkerPipe
from metabonk.orchestrator.gateway.workers import Gateway, NodeWhep
from metabonk.orchestrator.metrics import FleetMetrics
from metabonk.orchestrator.nodes.head import Nodes
from metabonk.orchestrator.nodes.routes import LearnerLink, NodesMiddleware
from metabonk.orchestrator.page import Page
from metabonk.orchestrator.program.air import air_routes, report_routes
from metabonk.orchestrator.program.routes import ProgramGate, order_routes, pin_routes
from metabonk.orchestrator.replays.errors import NoReplay
from metabonk.orchestrator.replays.finder import ReplayFinder
from metabonk.orchestrator.replays.highlights import highlight_routes
from metabonk.orchestrator.replays.response import no_replay
from metabonk.orchestrator.replays.routes import replay_routes
from metabonk.orchestrator.replays.service import Replays
from metabonk.orchestrator.run_routes import learning_routes
from metabonk.runs.catalog import NoSuchEpisode, NoSuchRun, RunCatalog
from metabonk.settings.public_url import split_public_url
from metabonk.streaming.relay import Relays

COMPRESSION = 6
"""Level; higher ones take longer and save little."""


def make_servers(
    state: FleetState,
    restarts: Callable[[], dict[str, int]],
    pools: Pools,
    replays: Replays | None,
    token: str | None = None,
    nodes: Nodes | None = None,
) -> list[HttpServer]:
    """Return the page's server, the API's, and go2rtc's if it is used."""
    settings = state.settings
    api, page = make_apps(state, restarts, pools, replays, token, nodes)
    servers = [
        HttpServer(page, settings.host, settings.ports.page),
        HttpServer(api, settings.internal_host, settings.ports.orchestrator),
    ]
    beside = go2rtc_proxy.make_server(settings)
    return [*servers, beside] if beside else servers


def make_apps(
    state: FleetState,
    restarts: Callable[[], dict[str, int]],
    pools: Pools,
    replays: Replays | None,
    token: str | None,
    nodes: Nodes | None = None,
) -> tuple[FastAPI, FastAPI]:
    """Return the application of the API's port and of the page's.

    Args:
        state: of the fleet.
        restarts: returns how often each process was restarted, by name.
        pools: of encoder sessions.
        replays: of the runs' episodes; None in a hub, which has no runs.
        token: required of the page's viewers; None serves loopback only, without a token.
        nodes: of a fleet on many machines; None on a single one.
    """
    catalog = None if state.store is None else RunCatalog(state.settings.paths.runs, state.store)

    def sessions() -> list[PoolStatus]:
        return [*pool_statuses(pools), *(nodes.sessions() if nodes is not None else ())]

    feed = Feed(state)
    embedding = Embedding(state.settings.embed.origins, token)
    routers = [
        fleet_routes(state, sessions),
        event_routes(state.events, feed),
        metrics_routes(FleetMetrics(state, restarts)),
        pin_routes(state),
        embed_routes(embedding),
        air_routes(state.on_air),
        incident_routes(state),
    ]
    if catalog is not None:
        routers += [run_routes(catalog), highlight_routes(catalog)]
        may_delete = not state.settings.is_remote
        routers.append(learning_routes(catalog, may_delete=may_delete))
    gateway = Gateway(state, _node_whep(state) if nodes is not None else None)
    learner = LearnerLink(
        f"http://{state.settings.internal_authority(state.settings.ports.learner)}",
        _checkpoint(state, catalog),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with gateway.lifespan(app), learner.opened():
            yield

    public_url = state.settings.public_url
    program = ProgramGate(state)
    pipe = WorkerPipe(state.roster.address_on_node)

    @contextlib.asynccontextmanager
    async def api_lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with program.lifespan(app), pipe.lifespan(app):
            yield

    api = make_http_app("MetaBonk orchestrator", lifespan=api_lifespan)
    page = make_http_app(
        "MetaBonk",
        lifespan=lifespan,
        token=token,
        public_url=public_url,
        embedding=embedding,
    )
    # Video, pictures and events pass as they are.
    page.add_middleware(GZipMiddleware, compresslevel=COMPRESSION)
    for app in (api, page):
        app.add_exception_handler(sqlite3.Error, episodes_unreadable)
        app.add_exception_handler(NoSuchRun, no_such_run)
        app.add_exception_handler(NoSuchEpisode, no_such_episode)
        app.add_exception_handler(EncodingError, sessions_unreadable)
        for router in routers:
            app.include_router(router)
    # Workers are on this machine; a viewer must not be able to report for them.
    api.include_router(heartbeat_routes(state))
    api.include_router(order_routes(state))
    api.include_router(report_routes(state.on_air))
    if nodes is not None:
        api.include_router(pipe.ts_routes(enabled=state.settings.stream.enabled))
        api.include_router(pipe.routes())
    # For go2rtc and what goes on air, which have no token.
    api.include_router(program.routes())
    page.include_router(gateway.routes())
    if catalog is not None and replays is not None:
        page.include_router(replay_routes(ReplayFinder(catalog), replays))
    page.add_exception_handler(NoReplay, no_replay)
    # Not mounted: a mount would also take other methods of a route's path.
    prefix = split_public_url(public_url)[1]
    page.router.default = Page(prefix=prefix, opening=feed.opening)
    if nodes is not None:
        page.add_middleware(NodesMiddleware, nodes=nodes, learner=learner, prefix=prefix)
    return api, page


def _checkpoint(state: FleetState, catalog: RunCatalog | None) -> Callable[[], bytes | None] | None:
    """Return what reads the weights that nodes play with, where there is no learner."""
    if catalog is None or state.settings.mode is not Mode.PLAY:
        return None

    def read() -> bytes | None:
        file = catalog.newest_checkpoint(catalog.current)
        return None if file is None else file.read_bytes()

    return read


def _node_whep(state: FleetState) -> Callable[[Relays], NodeWhep]:
    """Return what makes the WebRTC of nodes."""
    # Here, since aiortc takes a third of a second to import.
    node_whep = importlib.import_module("metabonk.orchestrator.nodes.whep")
    settings = state.settings

    def make(relays: Relays) -> NodeWhep:
        made: NodeWhep = node_whep.NodeWhep(
            relays, settings.media_addresses, enabled=settings.stream.enabled
        )
        return made

    return make


def stop_servers(servers: Iterable[HttpServer]) -> None:
    """Stop servers in parallel: each may wait a second for its viewers."""
    threads = [threading.Thread(target=server.stop) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
