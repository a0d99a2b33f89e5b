"""Inspection of a running fleet from outside."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
from pydantic import TypeAdapter, ValidationError

from metabonk.encoding.sessions import Holder, Pools, open_pools
from metabonk.messages.workers import StreamState, WorkerStatus
from metabonk.settings import Settings
from metabonk.validation.inspect_page import inspect_page
from metabonk.validation.inspect_stream import TIMEOUT_S, WATCHED_S, fetch_status, inspect_stream
from metabonk.validation.observations import FleetObservation, LeaseObservation, PoolObservation

WORKERS = TypeAdapter(dict[str, WorkerStatus])


def inspect(settings: Settings, expected: Iterable[str], page: str) -> FleetObservation:
    """Observe everything that the checks need; takes about ten seconds.

    Workers take turns at being live, so leases are only compared with workers that were in the same
    state before and after the leases were read.

    Args:
        settings: of the fleet.
        expected: instance ids that should be there.
        page: URL of the page.

    Raises:
        MetaBonkError: the slot directory can't be used.
    """
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        workers = _fetch_workers(client, settings)
        statuses = list((workers or {}).values())
        with ThreadPoolExecutor(max(1, len(statuses))) as threads:
            before = list(threads.map(fetch_status, statuses))
            pools = inspect_pools(open_pools(settings))
            after = list(threads.map(fetch_status, statuses))
            watched_s = max(WATCHED_S, settings.stream.keyframe_interval_s + 1)
            streams = list(threads.map(lambda each: inspect_stream(each, watched_s), statuses))
        return FleetObservation(
            expected=tuple(expected),
            keyframe_interval_s=settings.stream.keyframe_interval_s,
            workers=workers,
            steady=frozenset(
                then.instance_id
                for then, now in zip(before, after, strict=True)
                if then and now and _is_live(then) and _is_live(now)
            ),
            pools=pools,
            streams=dict(zip(workers or {}, streams, strict=True)),
            page=inspect_page(client, page, settings.access_token),
        )


def inspect_pools(pools: Pools) -> list[PoolObservation]:
    """Observe every pool's leases, and the driver's count at the same moment.

    Raises:
        SlotFolderError: the slot directory can't be used.
    """
    before = {pool.name: pool.usage() for pool in pools.all()}
    counted = pools.driver_counts()
    return [
        PoolObservation(
            pool=usage.pool,
            limit=usage.limit,
            leases=tuple(_lease(holder, before[usage.pool].holders) for holder in usage.holders),
            external=usage.external,
            counted=counted.get(usage.pool),
        )
        for usage in (pool.usage() for pool in pools.all())
    ]


def _lease(holder: Holder, before: Sequence[Holder]) -> LeaseObservation:
    return LeaseObservation(
        worker=holder.worker,
        backend=holder.backend,
        open=holder.session_open and holder in before,
        held_s=time.time() - holder.since if holder.since else 0.0,
    )


def _fetch_workers(client: httpx.Client, settings: Settings) -> dict[str, WorkerStatus] | None:
    orchestrator = settings.internal_authority(settings.ports.orchestrator)
    try:
        answer = client.get(f"http://{orchestrator}/workers")
        return WORKERS.validate_json(answer.raise_for_status().content)
    except (httpx.HTTPError, ValidationError):
        return None


def _is_live(status: WorkerStatus) -> bool:
    return status.stream_state is StreamState.LIVE
