"""HTTP routes about runs: what they learned, how they were set, and what people say of them."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Query

from metabonk.errors import SettingsError
from metabonk.messages.base import ErrorBody
from metabonk.messages.runs import LearningCurves, RunNotes
from metabonk.runs.catalog import RunCatalog
from metabonk.runs.layout import SETTINGS_FILE
from metabonk.runs.learning import LearningRecord
from metabonk.runs.notes import write_notes
from metabonk.runs.pruning import delete_run
from metabonk.settings.load import read_values

CACHED_RECORDS = 8

Points = Annotated[int, Query(ge=1, le=5_000)]
T = TypeVar("T")


def learning_routes(catalog: RunCatalog, *, may_delete: bool) -> APIRouter:
    """Return the routes; they have one thread, which may wait for the disk.

    Args:
        catalog: of the runs.
        may_delete: viewers may delete runs.
    """
    missing = {"model": ErrorBody, "description": "no such run"}
    router = APIRouter(responses={404: missing})
    worker = ThreadPoolExecutor(1, "runs-learning")
    records = _Records()

    async def answer(query: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(worker, query)
        except SettingsError as error:
            raise HTTPException(503, str(error)) from None
        except OSError as error:
            reason = f"can't use the run's files: {error.strerror or error}; check the disk"
            raise HTTPException(503, reason) from None

    @router.get("/api/runs/{run}/learning")
    async def get_learning(run: str, points: Points = 1_000) -> LearningCurves:
        """Losses, entropy, lag, throughput and the like, over the steps trained."""
        return await answer(lambda: records.curves(catalog.folder(run), points))

    @router.get("/api/runs/{run}/settings")
    async def get_settings(run: str) -> dict[str, str]:
        """Values of a run's settings, by their full names."""
        return await answer(lambda: _settings(catalog.folder(run)))

    @router.put("/api/runs/{run}/notes")
    async def put_notes(run: str, notes: RunNotes) -> RunNotes:
        """Replace the title, note and tags of a run, or archive it."""
        await answer(lambda: write_notes(catalog.folder(run), notes))
        return notes

    @router.delete("/api/runs/{run}", status_code=204)
    async def delete(run: str) -> None:
        """Delete a run for ever."""
        if not may_delete:
            reason = "runs are deleted on their own machine only: 'metabonk runs prune' does that"
            raise HTTPException(403, reason)
        if not await answer(lambda: delete_run(catalog.folder(run))):
            raise HTTPException(409, f"run {run} is in use; stop its fleet first")

    return router


class _Records:
    """The latest records of learning. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: OrderedDict[Path, LearningRecord] = OrderedDict()

    def curves(self, folder: Path, points: int) -> LearningCurves:
        """Return the curves of a run now."""
        with self._lock:
            record = self._records.setdefault(folder, LearningRecord(folder))
            self._records.move_to_end(folder)
            if len(self._records) > CACHED_RECORDS:
                self._records.popitem(last=False)
            record.update()
            return record.curves(points)


def _settings(folder: Path) -> dict[str, str]:
    return dict(_leaves(read_values(folder / SETTINGS_FILE)))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
