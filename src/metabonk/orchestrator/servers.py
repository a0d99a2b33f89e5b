"""HTTP servers of the orchestrator: its API, and the page with the API and every worker."""

import sqlite3
import threading
from collections.abc import Callable, Iterable

from fastapi import FastAPI

from metabonk.encoding.sessions import Pools
from metabonk.http.app import make_http_app
from metabonk.http.metrics import metrics_routes
from metabonk.http.server import HttpServer
from metabonk.orchestrator.api import (
    episodes_unreadable,
    event_routes,
    fleet_routes,
    heartbeat_routes,
    no_such_run,
    pool_statuses,
    run_routes,
)
from metabonk.orchestrator.fleet import FleetState
from metabonk.orchestrator.gateway import Gateway
from metabonk.orchestrator.metrics import FleetMetrics
from metabonk.orchestrator.page import Page
from metabonk.runs.catalog import NoSuchRun, RunCatalog


def make_servers(
    state: FleetState,
    restarts: Callable[[], dict[str, int]],
    pools: Pools,
    token: str | None = None,
) -> list[HttpServer]:
    """Return the page's server and the API's."""
    settings = state.settings
    api, page = make_apps(state, restarts, pools, token)
    return [
        HttpServer(page, settings.host, settings.ports.page),
        HttpServer(api, settings.internal_host, settings.ports.orchestrator),
    ]


def make_apps(
    state: FleetState, restarts: Callable[[], dict[str, int]], pools: Pools, token: str | None
) -> tuple[FastAPI, FastAPI]:
    """Return the application of the API's port and of the page's.

    Args:
        state: of the fleet.
        restarts: returns how often each process was restarted, by name.
        pools: of encoder sessions.
        token: required of the page's viewers; None serves loopback only, without a token.
    """
    routers = (
        fleet_routes(state, lambda: pool_statuses(pools)),
        run_routes(RunCatalog(state.settings.paths.runs, state.store)),
        event_routes(state.events),
        metrics_routes(FleetMetrics(state, restarts)),
    )
    gateway = Gateway(state)
    api = make_http_app("MetaBonk orchestrator")
    page = make_http_app("MetaBonk", lifespan=gateway.lifespan, token=token)
    for app in (api, page):
        app.add_exception_handler(sqlite3.Error, episodes_unreadable)
        app.add_exception_handler(NoSuchRun, no_such_run)
        for router in routers:
            app.include_router(router)
    # Workers are on this machine; a viewer must not be able to report for them.
    api.include_router(heartbeat_routes(state))
    page.include_router(gateway.routes())
    # Not mounted: a mount would also take other methods of a route's path.
    page.router.default = Page()
    return api, page


def stop_servers(servers: Iterable[HttpServer]) -> None:
    """Stop servers in parallel: each may wait a second for its viewers."""
    threads = [threading.Thread(target=server.stop) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
